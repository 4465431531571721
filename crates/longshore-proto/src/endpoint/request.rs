//! What each request says about itself, so that nothing else has to know its kind.

use std::fmt;

use http::{HeaderMap, Method, response};
use longshore_model::RepositoryName;

use super::Endpoint;
use crate::Host;

/// One kind of request. Adding an endpoint means adding one file with one of these, and one line
/// in [`Endpoint`](super::Endpoint).
///
/// `Display` names the subject of the request, for example "blob sha256:… of app".
pub(super) trait Request: fmt::Display {
    /// Writes the request for this host.
    fn write(&self, host: &Host) -> RequestHead;

    /// Writes the request for a path and query that an earlier answer gave. An endpoint that adds
    /// something to that query does so here.
    fn write_at(&self, host: &Host, location: &str) -> RequestHead {
        let mut head = self.write(host);
        location.clone_into(&mut head.path_and_query);
        head
    }

    /// The repository the request is about.
    fn name(&self) -> Option<&RepositoryName>;

    /// The access the request needs at this host; the access to its main subject comes first.
    fn needs(&self, host: &Host) -> Vec<Need>;

    /// What the request does.
    fn verb(&self) -> Verb {
        Verb::Read
    }

    /// Whether a mirror may serve it.
    fn is_read(&self) -> bool {
        self.verb() == Verb::Read
    }

    /// What the bodies of its answers hold.
    fn answer_body(&self) -> AnswerBody {
        AnswerBody::Content
    }

    /// The same request with `GET`, if this one is a `HEAD`.
    fn with_get(&self) -> Option<Endpoint> {
        None
    }

    /// Whether this answer to a `HEAD` contains the requested fact (DG2).
    fn is_answered_by(&self, _head: &response::Parts) -> bool {
        true
    }

    /// How long the head of its answer may take.
    fn patience(&self) -> Patience {
        Patience::Ordinary
    }

    /// Whether it may be sent again.
    fn repeatable(&self) -> Repeatable {
        Repeatable::Always
    }
}

/// The head of a request without its origin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path_and_query: String,
    /// The headers that the endpoint itself requires.
    pub headers: HeaderMap,
}

impl RequestHead {
    pub(super) fn new(method: Method, path_and_query: String) -> Self {
        Self {
            method,
            path_and_query,
            headers: HeaderMap::new(),
        }
    }
}

/// Something a request must be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller must map every need to a scope, or a request goes out without one"
)]
pub enum Need {
    /// List the repositories of the registry.
    Catalogue,
    /// Use one repository.
    Repository {
        /// The repository's name as the host knows it, with a mirror's prefix.
        name: String,
        /// What is done to it.
        access: Access,
    },
}

impl Need {
    pub(crate) fn new(host: &Host, name: &RepositoryName, access: Access) -> Self {
        Self::Repository {
            name: host.name_here(name),
            access,
        }
    }
}

/// What a request does to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller must map every access to a scope, so that no write is sent with a token \
              for reading"
)]
pub enum Access {
    /// Remove content or tags.
    Delete,
    /// Read content.
    Pull,
    /// Add content or tags.
    Push,
}

/// What a request does, as a verb for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Cancel an upload.
    Cancel,
    /// Remove something.
    Delete,
    /// Make a blob of another repository available.
    Mount,
    /// Send content.
    Push,
    /// Read something.
    Read,
}

impl Verb {
    /// The word for the other end of the operation: "read from", "push to".
    #[must_use]
    pub const fn preposition(self) -> &'static str {
        match self {
            Self::Cancel | Self::Delete | Self::Read => "from",
            Self::Mount => "in",
            Self::Push => "to",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Mount => "mount",
            Self::Push => "push",
            Self::Read => "read",
        })
    }
}

/// What the bodies of the answers to a request hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a call must handle every one")]
pub enum AnswerBody {
    /// A success carries content, a refusal an error body.
    Content,
    /// A refusal carries an error body; the body of a success means nothing.
    Errors,
    /// No answer has a body: the method is `HEAD` (RFC 9110 §9.3.2).
    Never,
}

/// How long the head of an answer may take. [`CallPolicy`](crate::call::CallPolicy) has the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a policy has a time for each")]
pub enum Patience {
    /// The registry has the answer at hand.
    Ordinary,
    /// The registry may have to move a whole blob before it answers.
    WholeBlob,
}

/// Whether a request may be sent again after a failure (RT4: retries by method).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a call must handle every one")]
pub enum Repeatable {
    /// Sending it twice does no more than sending it once.
    Always,
    /// The call must not send it again: either the server must first be asked how much it has
    /// received, or the body cannot be sent twice. The operation decides what comes next.
    Never,
}
