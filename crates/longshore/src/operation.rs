//! The operation that failed, for error messages.

use std::fmt;

use longshore_model::{Digest, RepositoryName};
use longshore_proto::endpoint::{Endpoint, Verb};

/// What a client was doing: a value that is formatted only when it is shown.
///
/// `Display` is a verb and its object: "read manifest 3.20 of library/alpine". Its parts are
/// well-formed names, so it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Finding out where a registry is and how to connect to it.
    Connect,
    /// Pushing a blob.
    Push {
        /// The repository.
        repository: RepositoryName,
        /// The digest of the blob; `None` when it is computed while the blob is sent.
        digest: Option<Digest>,
    },
    /// A request of the protocol.
    Request(Endpoint),
    /// Getting a token.
    Token {
        /// The repository that the token is for; `None` when the caller named a scope instead.
        repository: Option<RepositoryName>,
    },
}

impl Operation {
    /// The endpoint of the request, if it was one.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Request(endpoint) => Some(endpoint),
            Self::Connect | Self::Push { .. } | Self::Token { .. } => None,
        }
    }

    /// The preposition between the operation and the name of its registry in a message.
    pub(crate) fn preposition(&self) -> &'static str {
        match self {
            Self::Connect => "to",
            Self::Push { .. } => Verb::Push.preposition(),
            Self::Request(endpoint) => endpoint.verb().preposition(),
            Self::Token { .. } => Verb::Read.preposition(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Push {
                repository,
                digest: None,
            } => write!(f, "push a blob of {repository}"),
            Self::Push {
                repository,
                digest: Some(digest),
            } => write!(f, "push blob {digest} of {repository}"),
            Self::Request(endpoint) => write!(f, "{} {endpoint}", endpoint.verb()),
            Self::Token { repository: None } => f.write_str("get a token"),
            Self::Token {
                repository: Some(name),
            } => write!(f, "get a token for {name}"),
        }
    }
}
