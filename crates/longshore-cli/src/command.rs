//! The commands, one file for each. No command uses another; shared code is outside this module.

pub(crate) mod blob;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod digest;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod ping;
pub(crate) mod pull;
pub(crate) mod referrers;
pub(crate) mod serve;
pub(crate) mod tag;
pub(crate) mod verify;
