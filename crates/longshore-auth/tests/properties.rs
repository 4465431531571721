//! What holds for every input.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what does not go as written is a failed test"
)]

#[path = "properties/challenge.rs"]
mod challenge;
#[path = "properties/exchange.rs"]
mod exchange;
#[path = "naive/grammar.rs"]
mod grammar;
#[path = "properties/machine.rs"]
mod machine;
#[path = "properties/scope.rs"]
mod scope;
#[path = "support/world.rs"]
mod world;
