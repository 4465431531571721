//! Which requests go through a proxy, and the tunnel they go through.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use longshore_origin::{Escaped, Origin, Scheme};
use longshore_transport::{INTERIM_LIMIT, Phase, TransportError, TransportErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::failure;
use crate::settings::SettingsError;
use crate::wire::Stream;

/// Which proxy, if any, requests go through.
///
/// Behind a proxy the transport does not learn the address of the server: an address policy is
/// then checked on literal addresses and loopback names only, and a response says nothing of its
/// peer's class. The proxy's own address is under no policy. Its credentials, the user information
/// of its URL, go to the proxy alone (CR10).
#[derive(Clone)]
pub struct ProxySettings(Arc<Matcher>);

impl ProxySettings {
    /// No proxy, whatever the environment says.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(Matcher::builder().build()))
    }

    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, upper or lower case, read
    /// as curl reads them.
    ///
    /// Loopback hosts are no exception unless `NO_PROXY` names them. Where `REQUEST_METHOD` is
    /// set, as in a CGI program, there is no proxy: there `HTTP_PROXY` is a request's header.
    ///
    /// # Errors
    ///
    /// [`SettingsError::ProxyVariable`]: a proxy is named, but not in a form that can be used.
    /// Going without it would be a surprise.
    pub fn from_env() -> Result<Self, SettingsError> {
        for name in VARIABLES {
            let value = std::env::var(name).unwrap_or_default();
            if !value.is_empty() && read(&value).is_none() {
                return Err(SettingsError::ProxyVariable { name });
            }
        }
        let except = ["NO_PROXY", "no_proxy"].map(std::env::var).into_iter();
        if except.flatten().next().is_some_and(|it| is_everything(&it)) {
            return Ok(Self::none());
        }
        Ok(Self(Arc::new(Matcher::from_env())))
    }

    /// One proxy for everything but the hosts in `except`.
    ///
    /// `url` is `http://[user:password@]host[:port]` or `https://…`; `except` has the form of
    /// `NO_PROXY`: names (with all below them), addresses and address ranges, with commas between,
    /// or `*` for every host.
    ///
    /// # Errors
    ///
    /// [`SettingsError::ProxyUrl`].
    pub fn url(url: &str, except: &str) -> Result<Self, SettingsError> {
        let proxy = read(url).ok_or(SettingsError::ProxyUrl)?;
        if !matches!(proxy.uri().scheme_str(), Some("http" | "https")) {
            return Err(SettingsError::ProxyUrl);
        }
        if is_everything(except) {
            return Ok(Self::none());
        }
        Ok(Self(Arc::new(
            Matcher::builder()
                .all(url.to_owned())
                .no(except.to_owned())
                .build(),
        )))
    }

    /// The proxy for a request to this URI.
    pub(crate) fn intercept(&self, uri: &Uri) -> Result<Option<Proxy>, TransportError> {
        self.0.intercept(uri).map(Proxy::new).transpose()
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads one proxy URL with the rules the matcher has.
fn read(url: &str) -> Option<Intercept> {
    Matcher::builder()
        .all(url.to_owned())
        .build()
        .intercept(&Uri::from_static("http://any/"))
}

/// Whether these exceptions hold `*`, which the matcher takes for every name but for no address.
fn is_everything(except: &str) -> bool {
    except.split(',').any(|entry| entry.trim() == "*")
}

/// One proxy.
pub(crate) struct Proxy {
    pub(crate) origin: Origin,
    pub(crate) authorization: Option<HeaderValue>,
}

impl Proxy {
    fn new(intercept: Intercept) -> Result<Self, TransportError> {
        let uri = intercept.uri();
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(refused(UnsupportedProxy)),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let origin = Origin::from_authority(scheme, authority).map_err(refused)?;
        Ok(Self {
            origin,
            authorization: intercept.basic_auth().cloned(),
        })
    }

    /// Asks the proxy on the other end of `stream` for a tunnel to `target`.
    ///
    /// RFC 9110 §9.3.6: any 2xx opens it; what follows the answer's head is the target's.
    pub(crate) async fn tunnel(
        &self,
        stream: &mut BufReader<Stream>,
        target: &Origin,
    ) -> Result<(), TransportError> {
        let target = match target.address() {
            Some(std::net::IpAddr::V6(address)) => format!("[{address}]:{}", target.port()),
            _ => format!("{}:{}", target.host(), target.port()),
        };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream
            .write_all(&request)
            .await
            .map_err(failure::connecting)?;
        stream.flush().await.map_err(failure::connecting)?;

        for _ in 0..=INTERIM_LIMIT {
            let head = read_head(stream).await?;
            let status = read_status(&head).ok_or_else(|| refused(NotAProxy))?;
            match status {
                100..=199 => {}
                200..=299 => return Ok(()),
                _ => return Err(answered(status, &head)),
            }
        }
        Err(refused(NotAProxy))
    }
}

async fn read_head(stream: &mut BufReader<Stream>) -> Result<Vec<u8>, TransportError> {
    let mut head = Vec::new();
    // A byte at a time, out of the buffer: the byte after the head is not ours to read.
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == HEAD_LIMIT_BYTES {
            return Err(refused(NotAProxy));
        }
        head.push(stream.read_u8().await.map_err(failure::connecting)?);
    }
    Ok(head)
}

// status-line = HTTP-version SP status-code SP [ reason-phrase ]          RFC 9112 §4
fn read_status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let [minor, b' ', code @ ..] = rest else {
        return None;
    };
    let (code, after) = code.split_at_checked(3)?;
    let is_code = minor.is_ascii_digit() && matches!(after.first(), Some(b' ' | b'\r' | b'\n'));
    let code = std::str::from_utf8(code)
        .ok()
        .filter(|c| c.bytes().all(|b| b.is_ascii_digit()))?;
    is_code.then(|| code.parse().ok()).flatten()
}

fn answered(status: u16, head: &[u8]) -> TransportError {
    let line = head
        .split(|b| *b == b'\r' || *b == b'\n')
        .next()
        .unwrap_or_default();
    let reason = line.get("HTTP/1.1 200 ".len()..).unwrap_or_default();
    let source = ProxyRefused {
        status,
        reason: Escaped::new(reason).to_string().into(),
    };
    // A proxy that could not reach the target may reach it next time; one that will not, will not.
    let kind = if status >= 500 {
        TransportErrorKind::Connect
    } else {
        TransportErrorKind::Proxy
    };
    TransportError::new(kind, Phase::Connect).with_source(source)
}

pub(crate) fn refused(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransportError {
    TransportError::new(TransportErrorKind::Proxy, Phase::Connect).with_source(source)
}

/// What a proxy said instead of opening a tunnel; found as the source of a transport error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy answered {status} {reason}")]
#[non_exhaustive]
pub struct ProxyRefused {
    /// The status: 407 asks for (other) credentials.
    pub status: u16,
    /// The reason phrase, escaped.
    pub reason: Box<str>,
}

#[derive(Debug, thiserror::Error)]
#[error("what answers is not an HTTP proxy")]
struct NotAProxy;

#[derive(Debug, thiserror::Error)]
#[error("only http and https proxies are supported")]
struct UnsupportedProxy;

/// The variables that name a proxy.
const VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// The longest head of an answer to CONNECT, in bytes; a longer one is refused.
const HEAD_LIMIT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_strictly() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 204 \r\n\r\n", Some(204)),
            ("HTTP/1.1 407\r\n\r\n", Some(407)),
            ("HTTP/1.1 407\n\n", Some(407)),
            ("HTTP/2 200 OK\r\n\r\n", None),
            ("HTTP/1.1 20\r\n\r\n", None),
            ("HTTP/1.1 2000 x\r\n\r\n", None),
            ("HTTP/1.1 +20 x\r\n\r\n", None),
            ("HTTP/1.x 200 x\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\n", None),
            ("", None),
        ] {
            assert_eq!(read_status(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn a_proxy_url_must_name_a_proxy() {
        for url in [
            "http://proxy.example:3128",
            "proxy.example:3128",
            "https://u:p@proxy.example",
        ] {
            assert!(ProxySettings::url(url, "").is_ok(), "{url}");
        }
        for url in [
            "",
            "socks5://proxy.example",
            "ftp://proxy.example",
            "http://",
            "http://a b",
        ] {
            assert!(
                matches!(ProxySettings::url(url, ""), Err(SettingsError::ProxyUrl)),
                "{url}"
            );
        }
    }

    // CR10, OU3
    #[test]
    fn ou3_debug_does_not_show_the_password_of_a_proxy() {
        let proxy = ProxySettings::url("http://user:hunter2@proxy.example:3128", "").unwrap();
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }

    #[test]
    fn exceptions_go_direct() {
        let proxy = ProxySettings::url("http://p:1", "example.org,10.0.0.0/8").unwrap();
        let is_proxied = |uri: &'static str| {
            proxy
                .intercept(&Uri::from_static(uri))
                .unwrap()
                .map(|p| p.origin.to_string())
        };
        assert_eq!(
            is_proxied("https://registry.example/").as_deref(),
            Some("http://p:1")
        );
        assert_eq!(
            is_proxied("http://127.0.0.1:5000/").as_deref(),
            Some("http://p:1")
        );
        assert_eq!(is_proxied("https://sub.example.org/"), None);
        assert_eq!(is_proxied("https://10.1.2.3/"), None);
        let proxy = ProxySettings::url("http://p:1", "example.org, *").unwrap();
        for uri in ["https://registry.example/", "http://127.0.0.1:5000/"] {
            let uri = Uri::from_static(uri);
            assert!(proxy.intercept(&uri).unwrap().is_none(), "{uri}");
        }
    }
}
