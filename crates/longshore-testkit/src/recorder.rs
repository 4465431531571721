//! A second origin: keeps every request, answers as told.

use std::io;
use std::net::SocketAddr;

use http::StatusCode;

use crate::serve::Server;
use crate::{Listen, RecordedRequest, Requests, ScriptedResponse};

/// A server that knows nothing of registries and keeps everything it is sent.
///
/// It stands where a redirect, a realm or a `Location` points to prove that no secret arrives:
/// see [`Requests::hold`].
///
/// ```
/// use longshore_testkit::{Listen, ScriptedResponse, recorder::Recorder};
///
/// let elsewhere = Recorder::start(Listen::loopback(), |_| {
///     ScriptedResponse::status(http::StatusCode::NOT_FOUND)
/// })?;
/// // … make a client believe that elsewhere.url() is the place to go …
/// assert!(!elsewhere.requests().hold("the password"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Recorder(Server);

impl Recorder {
    /// Starts a server that answers each request with what `answer` makes of it.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub fn start(
        listen: Listen,
        answer: impl Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Server::start(&listen, answer).map(Self)
    }

    /// Starts a server on loopback that answers 404 to everything.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn silent() -> io::Result<Self> {
        Self::start(Listen::loopback(), |_| {
            ScriptedResponse::status(StatusCode::NOT_FOUND)
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Its origin as a URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What it was sent.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        self.0.requests()
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections()
    }
}

#[cfg(test)]
mod tests;
