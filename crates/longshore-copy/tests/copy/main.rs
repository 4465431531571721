//! Copies between ends: registries of the testkit, layouts on disk, memory.

mod between;
mod choices;
mod interrupted;
mod local;
mod memory;
mod opaque;
mod referrers;
mod several;
mod support;
