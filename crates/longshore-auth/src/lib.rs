//! Registry authentication without I/O: challenges, scopes, tokens and the machine that answers a 401.

mod challenge;

pub use challenge::{
    CHALLENGES_LIMIT, CHALLENGES_LIMIT_BYTES, Challenge, Challenges, Fault, FaultKind, Params,
};
