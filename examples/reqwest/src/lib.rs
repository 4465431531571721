//! A transport over reqwest, for programs that already use reqwest.
//!
//! [`ReqwestTransport`] keeps the contract of [`Transport`](longshore::transport::Transport) and
//! declares three of its four capabilities. The tests run the public conformance cases on it, and
//! pull an image with tokens.
//!
//! ```no_run
//! use longshore_example_reqwest::{ReqwestTransport, TokioClock};
//!
//! # fn main() -> Result<(), longshore::BuildError> {
//! let client = longshore::Client::builder()
//!     .transport(ReqwestTransport::new(reqwest::Client::builder))
//!     .clock(TokioClock::default())
//!     .build()?;
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! The parts of the work, and the modules that do them:
//!
//! - Switch off what belongs above a transport: redirects, retries, proxies of the environment
//!   (`transport`).
//! - Fulfil the wishes of a request: one `reqwest::Client` for each address policy and each TLS
//!   identity, so that no connection is shared, and a resolver that checks addresses (`resolver`).
//! - Report facts and failures: the class of the peer, and the kind of each error (`failure`).
//! - Bring a clock for the runtime in use (`clock`).

pub use clock::TokioClock;
pub use transport::ReqwestTransport;

mod clock;
mod failure;
mod resolver;
mod transport;
