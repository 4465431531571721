//! The client over services in this process: what it sends, to whom, and what it makes of answers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test, panicking is how to fail"
)]

mod auth;
mod blob;
mod exchange;
mod fetch_token;
mod foreign;
mod loopback;
mod manifest;
mod pace;
mod patience;
mod probe;
mod properties;
mod push;
mod refusals;
mod renewal;
mod retry;
mod session;
mod source;
mod support;
mod write;
