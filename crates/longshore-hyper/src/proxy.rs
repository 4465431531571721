//! Which requests go through a proxy, and the tunnel they go through.

use std::sync::Arc;
use std::{fmt, io};

use http::{HeaderValue, StatusCode, Uri, response};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use longshore_origin::{Origin, Scheme, Secret};
use longshore_transport::{INTERIM_LIMIT, Phase, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

pub use self::error::{ProxyError, ProxyFault};
use self::exceptions::Exceptions;
use crate::failure;
use crate::settings::SettingsError;
use crate::wire::Stream;

mod error;
mod exceptions;
mod socks;

/// Which proxy, if any, requests go through.
///
/// Requests for this machine (`localhost`, names below it, 127.0.0.0/8 and `::1`) never go through
/// a proxy (RT12).
///
/// Behind a proxy the transport does not learn the address of the server: an address policy is
/// then checked on literal addresses only, except behind a `socks5` proxy, where the transport
/// resolves the name and checks the addresses. A response then has no address class. The policy
/// does not apply to the address of the proxy itself. Its credentials, the user information of its
/// URL, go to the proxy alone (CR10).
#[derive(Clone, Debug)]
pub struct ProxySettings(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: Exceptions,
}

impl ProxySettings {
    /// No proxy, whatever the environment says.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// The proxies that the environment names: `HTTPS_PROXY` and `HTTP_PROXY` by the scheme of the
    /// request, or else `ALL_PROXY`, with the exceptions of `NO_PROXY`.
    ///
    /// For each variable, the name in upper case is tried before the name in lower case; an empty
    /// value counts as absent. White space and quotation marks around a value are ignored. See
    /// [`url`](Self::url) for the forms of the values. Where `REQUEST_METHOD` is set, as in a CGI
    /// program, there is no proxy: there, `HTTP_PROXY` holds the `Proxy` header of a request.
    ///
    /// # Errors
    ///
    /// [`SettingsError::ProxyVariable`]: a proxy is named, but not in a form that can be used.
    /// Going without it would be a surprise.
    pub fn from_env() -> Result<Self, SettingsError> {
        // A value that is not UTF-8 becomes one that no URL and no entry has.
        Self::from_variables(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }

    fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        if read("REQUEST_METHOD").is_some() {
            return Ok(Self::none());
        }
        let first = |names: &[&'static str]| {
            let mut values = names
                .iter()
                .map(|name| (*name, read(name).unwrap_or_default()));
            values.find(|(_, value)| !trimmed(value).is_empty())
        };
        let proxy = |names: &[&'static str]| match first(names) {
            None => Ok(None),
            Some((name, url)) => match Proxy::read(&url, Some(name)) {
                Some(proxy) => Ok(Some(Arc::new(proxy))),
                None => Err(SettingsError::ProxyVariable { name }),
            },
        };
        let except = first(&["NO_PROXY", "no_proxy"]);
        let except = except.map_or_else(String::new, |(_, list)| list);
        Ok(Self(Arc::new(Rules {
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?,
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            except: Exceptions::read(trimmed(&except)),
        })))
    }

    /// One proxy for everything but the hosts in `except`.
    ///
    /// `url` is `[scheme://][user:password@]host[:port]`. The schemes are `http`, which is the
    /// default, `https`, `socks5`, where this transport resolves names, and `socks5h`, where the
    /// proxy does; user and password are percent-encoded.
    ///
    /// `except` has the form of `NO_PROXY`: entries separated by commas or spaces. An entry is a
    /// name (with its subdomains), a name after `.` or `*.` (its subdomains only) or an address,
    /// each with an optional `:port`; a range of addresses such as `10.0.0.0/8`; or `*` for every
    /// host.
    ///
    /// # Errors
    ///
    /// [`SettingsError::ProxyUrl`].
    pub fn url(url: &str, except: &str) -> Result<Self, SettingsError> {
        let proxy = Proxy::read(url, None).ok_or(SettingsError::ProxyUrl)?;
        let proxy = Arc::new(proxy);
        Ok(Self(Arc::new(Rules {
            http: Some(Arc::clone(&proxy)),
            https: Some(proxy),
            except: Exceptions::read(except),
        })))
    }

    /// The proxy for requests to this origin.
    pub(crate) fn intercept(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        let Rules {
            http,
            https,
            except,
        } = &*self.0;
        if origin.is_loopback_name() || except.contain(origin) {
            return None;
        }
        match origin.scheme() {
            Scheme::Http => http.as_ref(),
            Scheme::Https => https.as_ref(),
        }
    }
}

/// A value without the white space and quotation marks that env files and shells may leave around
/// it.
fn trimmed(value: &str) -> &str {
    let value = value.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| {
        let value = value.strip_prefix(quote)?;
        value.strip_suffix(quote)
    });
    unquoted.unwrap_or(value).trim()
}

/// One proxy.
pub(crate) struct Proxy {
    /// Where to connect; `https` if the proxy itself speaks TLS.
    pub(crate) origin: Origin,
    pub(crate) protocol: ProxyProtocol,
    /// Its URL without user information.
    name: Box<str>,
    /// The variable that names it.
    variable: Option<&'static str>,
    authorization: Option<HeaderValue>,
    login: Option<(String, Secret)>,
}

/// How a proxy is asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    Http,
    Socks {
        /// Whether the proxy resolves names.
        remote: bool,
    },
}

impl Proxy {
    fn read(url: &str, variable: Option<&'static str>) -> Option<Self> {
        let any = Uri::from_static("http://any/");
        let matcher = Matcher::builder().all(trimmed(url)).build();
        let found: Intercept = matcher.intercept(&any)?;
        let uri = found.uri();
        let (scheme, protocol) = match uri.scheme_str()? {
            "http" => (Scheme::Http, ProxyProtocol::Http),
            "https" => (Scheme::Https, ProxyProtocol::Http),
            "socks5" => (Scheme::Http, ProxyProtocol::Socks { remote: false }),
            "socks5h" => (Scheme::Http, ProxyProtocol::Socks { remote: true }),
            _ => return None,
        };
        let mut authority = uri.authority()?.as_str().to_owned();
        if protocol != ProxyProtocol::Http && uri.port().is_none() {
            authority.push_str(SOCKS_PORT);
        }
        let origin = Origin::from_authority(scheme, &authority).ok()?;
        let name = match protocol {
            ProxyProtocol::Http => origin.to_string(),
            ProxyProtocol::Socks { .. } => format!("{}://{authority}", uri.scheme_str()?),
        };
        let login = found
            .raw_auth()
            .map(|(user, password)| (user.to_owned(), Secret::new(password.to_owned())));
        Some(Self {
            origin,
            protocol,
            name: name.into(),
            variable,
            authorization: found.basic_auth().cloned(),
            login,
        })
    }

    /// The header that a request over plain http to this proxy carries, if any.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
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
        let broke = |error| self.blamed(failure::connecting(error));
        stream.write_all(&request).await.map_err(broke)?;
        stream.flush().await.map_err(broke)?;

        let no_proxy = || self.fails(ProxyFault::NotAProxy, Phase::Connect);
        for _ in 0..=INTERIM_LIMIT {
            let head = read_head(stream).await.map_err(broke)?;
            let head = head.ok_or_else(no_proxy)?;
            match read_status(&head).ok_or_else(no_proxy)? {
                100..=199 => {}
                200..=299 => return Ok(()),
                status => {
                    let page = is_page(&head);
                    return Err(self.answered(status, reason(&head), page, Phase::Connect));
                }
            }
        }
        Err(no_proxy())
    }
}

/// Methods for plain http, where the proxy reads the requests, and answers them itself if it cannot
/// forward them.
impl Proxy {
    /// The error of a response that the proxy itself sent, if it can be recognised.
    ///
    /// It is recognised by the status 407 (RFC 9110 §15.5.8), by `Proxy-Status` with an error (RFC
    /// 9209 §2.1.1), by `X-Squid-Error`, or by a `Server` that is a well-known proxy.
    pub(crate) fn objection(&self, head: &response::Parts) -> Option<TransportError> {
        let (status, headers) = (head.status, &head.headers);
        if !status.is_client_error() && !status.is_server_error() {
            return None;
        }
        let text = |name| {
            let value = headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok());
            value.unwrap_or_default().to_ascii_lowercase()
        };
        let server = text("server");
        let own = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            || headers.contains_key("x-squid-error")
            || text("proxy-status").contains("error=")
            || ["tinyproxy", "squid"]
                .iter()
                .any(|name| server.starts_with(name));
        let page = text("content-type").starts_with("text/html");
        let reason = status.canonical_reason().unwrap_or_default();
        own.then(|| self.answered(status.as_u16(), reason.as_bytes(), page, Phase::Head))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("name", &self.name)
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}

/// The head of an answer; `None` if it is longer than a proxy's.
async fn read_head(stream: &mut BufReader<Stream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    // A byte at a time, out of the buffer: the byte after the head is not ours to read.
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == HEAD_LIMIT_BYTES {
            return Ok(None);
        }
        head.push(stream.read_u8().await?);
    }
    Ok(Some(head))
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

/// The reason phrase of an answer's head.
fn reason(head: &[u8]) -> &[u8] {
    let line = head
        .split(|b| *b == b'\r' || *b == b'\n')
        .next()
        .unwrap_or_default();
    line.get("HTTP/1.1 200 ".len()..).unwrap_or_default()
}

/// Whether a web page follows this head.
fn is_page(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut kinds = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-type:"));
    kinds.any(|kind| kind.trim_start().starts_with("text/html"))
}

/// RFC 1928 §3.
const SOCKS_PORT: &str = ":1080";

/// The longest head of an answer to CONNECT, in bytes; a longer one is refused.
const HEAD_LIMIT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
