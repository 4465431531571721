//! When TLS is used, and which certificates are trusted.

use bytes::Bytes;
use http::{Request, StatusCode};
use longshore_transport::{Body, TlsIdentity, Transport as _, TransportErrorKind};

use super::finding::{Finding, Outcome, chain, ensure, equal};
use super::subject::{Setup, Subject, failure, get, read};
use crate::certificate::{Authority, Identity};
use crate::raw::RawServer;
use crate::recorder::Recorder;
use crate::{Listen, ScriptedResponse};

/// A server with a certificate, whose answers are `ok`.
fn secured(identity: Identity) -> std::io::Result<Recorder> {
    Recorder::start(Listen::loopback().tls(identity), |_| {
        ScriptedResponse::status(StatusCode::OK).body("ok")
    })
}

pub(super) async fn https_is_never_sent_in_the_clear(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    for answer in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "",
    ] {
        let server = RawServer::start(answer)?;
        let url = format!("https://{}/the-path", server.address());
        failure(&transport, get(&url)?).await?;
        let is_shown = |sent: &Bytes| sent.windows(8).any(|part| part == b"the-path");
        ensure(!server.received().iter().any(is_shown), || {
            format!("a peer that answered {answer:?} was sent the request in the clear")
        })?;
    }
    Ok(())
}

pub(super) async fn a_certificate_error_is_not_a_missing_tls(subject: &Subject) -> Outcome {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let roots = trusted.pem();
    let setup = Setup {
        roots,
        ..Setup::default()
    };
    let transport = subject.transport_with(&setup);
    for (what, identity) in [
        (
            "a self-signed certificate",
            Identity::self_signed(&["127.0.0.1"]),
        ),
        ("a stranger's certificate", stranger.server(&["127.0.0.1"])),
        ("another name", trusted.server(&["registry.example"])),
        ("an expired certificate", trusted.expired(&["127.0.0.1"])),
    ] {
        let server = secured(identity)?;
        let error = failure(&transport, get(&server.url())?).await?;
        let kind = error.kind();
        ensure(kind != TransportErrorKind::NotTls, || {
            format!("{what} is reported as a peer that does not speak TLS")
        })?;
        // RT2
        ensure(!kind.is_retryable(), || {
            format!(
                "{what} is reported as {kind:?}, which is retried: {}",
                chain(&error)
            )
        })?;
        equal("requests", server.requests().len(), 0)?;
    }
    let server = RawServer::start("")?;
    let url = format!("https://{}/", server.address());
    let error = failure(&transport, get(&url)?).await?;
    ensure(error.kind() != TransportErrorKind::NotTls, || {
        "a peer that hangs up is reported as one that does not speak TLS".to_owned()
    })
}

/// A server with a certificate of one authority, and TLS settings that trust this authority or
/// another.
struct Scene {
    server: Recorder,
    setup: Setup,
}

impl Scene {
    fn set() -> std::io::Result<Self> {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let named = |name, roots| (TlsIdentity::named(name), roots);
        let identities = vec![
            named("one", authority.pem()),
            named("two", authority.pem()),
            named("stranger", stranger.pem()),
        ];
        Ok(Self {
            server: secured(authority.server(&["127.0.0.1"]))?,
            setup: Setup {
                identities,
                ..Setup::default()
            },
        })
    }

    fn request(&self, identity: TlsIdentity) -> Result<Request<Body>, Finding> {
        let mut request = get(&self.server.url())?;
        request.extensions_mut().insert(identity);
        Ok(request)
    }
}

pub(super) async fn identities_choose_their_settings(subject: &Subject) -> Outcome {
    let scene = Scene::set()?;
    let transport = subject.transport_with(&scene.setup);
    // The first identity trusts the server and leaves an open connection, which the other
    // identities must not use.
    let trusting = scene.request(TlsIdentity::named("one"))?;
    let response = transport.send(trusting).await?;
    equal("the body", read(response).await?, Bytes::from("ok"))?;
    for identity in [
        TlsIdentity::default(),
        TlsIdentity::named("stranger"),
        TlsIdentity::named("unknown"),
    ] {
        let what = format!("a request under {identity:?}");
        let error = failure(&transport, scene.request(identity)?).await;
        let error = error.map_err(|_| Finding::from(format!("{what} was sent")))?;
        let kind = error.kind();
        ensure(!kind.is_retryable(), || {
            format!(
                "{what} failed as {kind:?}, which is retried: {}",
                chain(&error)
            )
        })?;
        equal("requests", scene.server.requests().len(), 1)?;
    }
    Ok(())
}

pub(super) async fn identities_do_not_share_connections(subject: &Subject) -> Outcome {
    let scene = Scene::set()?;
    let transport = subject.transport_with(&scene.setup);
    for name in ["one", "two", "one"] {
        let request = scene.request(TlsIdentity::named(name))?;
        read(transport.send(request).await?).await?;
    }
    let used = scene.server.requests().all();
    let used: Vec<_> = used.iter().map(|it| it.connection).collect();
    match used.as_slice() {
        [one, two, again] if one != two && two != again => Ok(()),
        _ => Err(format!("connections used under one, two, one: {used:?}").into()),
    }
}
