//! The addresses that a transport connects to, and the class that it reports for them.

use std::net::{IpAddr, ToSocketAddrs as _};

use bytes::Bytes;
use http::Request;
use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Peer};
use longshore_transport::{Body, Transport as _, TransportErrorKind};

use super::finding::{Finding, Outcome, equal};
use super::server::{OK, Server};
use super::subject::{Subject, failure, get, read};
use crate::recorder::Recorder;

fn at_least(class: AddressClass, allow: &[IpAddr]) -> AddressPolicy {
    let allow: AllowAddresses = allow.iter().copied().map(Into::into).collect();
    AddressPolicy::AtLeast { class, allow }
}

fn under(policy: AddressPolicy, url: &str) -> Result<Request<Body>, Finding> {
    let mut request = get(url)?;
    request.extensions_mut().insert(policy);
    Ok(request)
}

/// Names that this system's resolver resolves to loopback addresses; may be empty.
fn names_of_this_machine() -> Vec<String> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let names = [own.trim(), "ip6-localhost", "ip6-loopback"];
    let is_loopback = |name: &&str| {
        let found: Vec<_> = (*name, 80)
            .to_socket_addrs()
            .into_iter()
            .flatten()
            .collect();
        !found.is_empty() && found.iter().all(|address| address.ip().is_loopback())
    };
    let names = names.into_iter().filter(|name| !name.is_empty());
    names.filter(is_loopback).map(str::to_owned).collect()
}

pub(super) async fn re3_addresses_are_refused_before_connecting(subject: &Subject) -> Outcome {
    let server = Server::answering(OK)?;
    let transport = subject.transport();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "a.localhost",
        "[::ffff:127.0.0.1]",
    ];
    let hosts = hosts.into_iter().map(str::to_owned);
    for host in hosts.chain(names_of_this_machine()) {
        let url = format!("http://{host}:{}/", server.port());
        for class in [AddressClass::Private, AddressClass::Public] {
            let request = under(at_least(class, &[]), &url)?;
            let error = failure(&transport, request).await?;
            let what = format!("{url} under a policy for {class} addresses");
            equal(&what, error.kind(), TransportErrorKind::AddressRefused)?;
            equal(&what, server.connections(), 0)?;
        }
    }
    let allowed = [IpAddr::from([127, 0, 0, 1])];
    for policy in [
        AddressPolicy::Any,
        at_least(AddressClass::Loopback, &[]),
        at_least(AddressClass::Public, &allowed),
    ] {
        let response = transport.send(under(policy, &server.url())?).await?;
        equal("the body", read(response).await?, Bytes::from("ok"))?;
    }
    Ok(())
}

pub(super) async fn re3_policies_do_not_share_connections(subject: &Subject) -> Outcome {
    let server = Recorder::silent()?;
    let transport = subject.transport();
    // The first policy comes again at the end: it may reuse only its own connection.
    let loopback = || at_least(AddressClass::Loopback, &[]);
    for policy in [AddressPolicy::Any, loopback(), AddressPolicy::Any] {
        let response = transport.send(under(policy, &server.url())?).await?;
        read(response).await?;
    }
    let private = at_least(AddressClass::Private, &[]);
    let error = failure(&transport, under(private, &server.url())?).await?;
    let what = "a policy that the open connections do not meet";
    equal(what, error.kind(), TransportErrorKind::AddressRefused)?;
    let used: Vec<_> = server
        .requests()
        .all()
        .iter()
        .map(|it| it.connection)
        .collect();
    match used.as_slice() {
        [any, other, again] if any != other && other != again => Ok(()),
        _ => Err(format!("connections used under any, loopback, any: {used:?}").into()),
    }
}

pub(super) async fn cr4_names_below_localhost_are_this_machine(subject: &Subject) -> Outcome {
    let server = Server::answering(OK)?;
    let transport = subject.transport();
    for host in ["localhost", "name.localhost", "a.b.localhost"] {
        let url = format!("http://{host}:{}/", server.port());
        let response = transport.send(get(&url)?).await?;
        equal("the body", read(response).await?, Bytes::from("ok"))?;
    }
    Ok(())
}

pub(super) async fn re3_the_class_of_the_peer_is_reported(subject: &Subject) -> Outcome {
    let server = Server::answering(OK)?;
    let transport = subject.transport();
    for host in ["127.0.0.1", "127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", server.port());
        let response = transport.send(get(&url)?).await?;
        let peer = response.extensions().get::<Peer>();
        let class = peer.and_then(|peer| peer.class);
        let what = format!("the class of {host}");
        equal(&what, class, Some(AddressClass::Loopback))?;
        read(response).await?;
    }
    Ok(())
}
