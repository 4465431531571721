//! SOCKS 5 (RFC 1928), with a user name and a password (RFC 1929).

use std::net::SocketAddr;

use longshore_origin::Origin;
use longshore_transport::{Phase, TransportError};
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error, TargetAddr};

use super::{Proxy, ProxyFault};
use crate::failure;
use crate::wire::Stream;

impl Proxy {
    /// Asks the proxy on the other end of `stream` for a connection to `target`: to this address,
    /// or to the name if the proxy resolves names.
    pub(crate) async fn socks(
        &self,
        stream: Stream,
        target: &Origin,
        address: Option<SocketAddr>,
    ) -> Result<Stream, TransportError> {
        let target = match address {
            Some(address) => TargetAddr::Ip(address),
            None => TargetAddr::Domain(target.host().into(), target.port()),
        };
        let opened = match &self.login {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some((user, password)) => {
                let password = password.expose();
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        };
        match opened {
            Ok(opened) => Ok(opened.into_inner()),
            Err(Error::Io(error)) => Err(self.blamed(failure::connecting(error))),
            Err(error) => Err(self.fails(fault(&error), Phase::Connect)),
        }
    }
}

fn fault(error: &Error) -> ProxyFault {
    let answer = || error.to_string().to_lowercase().into();
    match error {
        Error::AuthorizationRequired
        | Error::InvalidAuthValues(_)
        | Error::NoAcceptableAuthMethods
        | Error::PasswordAuthFailure(_) => ProxyFault::Credentials,
        Error::ConnectionNotAllowedByRuleset | Error::CommandNotSupported => ProxyFault::Refused {
            answer: answer(),
            page: false,
        },
        Error::AddressTypeNotSupported
        | Error::ConnectionRefused
        | Error::GeneralSocksServerFailure
        | Error::HostUnreachable
        | Error::NetworkUnreachable
        | Error::TtlExpired => ProxyFault::Target { answer: answer() },
        _ => ProxyFault::NotAProxy,
    }
}
