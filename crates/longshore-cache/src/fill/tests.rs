use bytes::Bytes;
use longshore_store::{Durability, FsStore, MemoryStore};

use super::testing::*;
use super::*;
use crate::body::CacheBodyError;
use crate::upstream::UpstreamErrorKind;

mod abandoned;
mod reported;
mod shared;
mod unstored;
mod verified;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * 1024;

/// A limit that is never reached.
const ROOM: u64 = 1 << 40;

const UNAVAILABLE: FillErrorKind = FillErrorKind::Upstream(UpstreamErrorKind::Unavailable);

fn memory() -> Scene {
    Scene::new(MemoryStore::new(), ROOM)
}
