//! Whether this is a registry (distribution-spec v1.1.1 "Determining Support", end-1).

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, StatusCode, response};
use longshore_model::RepositoryName;

use super::request::{Need, Request, RequestHead};
use crate::Host;
use crate::violation::Violation;

/// The header in which registries have named themselves since before the specification.
const API_VERSION: &str = "docker-distribution-api-version";

/// The request for the API version. It needs no access to any repository.
#[derive(Debug)]
pub(super) struct Ping;

impl Request for Ping {
    fn write(&self, host: &Host) -> RequestHead {
        RequestHead::new(Method::GET, host.path(None, format_args!("")))
    }

    fn name(&self) -> Option<&RepositoryName> {
        None
    }

    fn needs(&self, _host: &Host) -> Vec<Need> {
        Vec::new()
    }
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the API version")
    }
}

/// The answer of a registry to a ping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PingAnswer {
    /// Whether the registry names itself `registry/2.0` in `Docker-Distribution-API-Version`.
    pub named: bool,
}

impl PingAnswer {
    /// The answer of a registry that names itself.
    #[must_use]
    pub const fn named() -> Self {
        Self { named: true }
    }

    /// Writes the head of the answer.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        if self.named {
            headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        (StatusCode::OK, headers)
    }

    /// Reads the head of a successful answer.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the status is not 200.
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        Violation::unless_status(head, &[StatusCode::OK], "Determining Support")?;
        Ok(Self {
            named: head.headers.get_all(API_VERSION).iter().any(|value| {
                value
                    .as_bytes()
                    .split(|&b| b == b' ')
                    .any(|v| v == b"registry/2.0")
            }),
        })
    }
}
