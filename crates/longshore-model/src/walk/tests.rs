use super::*;
use crate::manifest::Index;
use crate::media_type::MediaType;

fn descriptor(seed: &str) -> Descriptor {
    Descriptor::of(MediaType::OCI_MANIFEST, seed.as_bytes())
}

fn manifest(seed: &str) -> WalkStep<()> {
    WalkStep::start(&descriptor(seed), ContentKind::Manifest, ())
}

fn blob(seed: &str) -> WalkStep<()> {
    WalkStep::start(&descriptor(seed), ContentKind::Blob, ())
}

fn of_size(mut step: WalkStep<()>, size: u64) -> WalkStep<()> {
    step.size = size;
    step
}

fn unlimited() -> Walk<()> {
    Walk::new(WalkLimits::new(8, usize::MAX, u64::MAX))
}

#[test]
fn li_content_is_yielded_once_for_each_kind() {
    let mut walk = unlimited();
    for (step, expected) in [
        (manifest("a"), Reached::First),
        (blob("a"), Reached::First),
        (manifest("b"), Reached::First),
        (manifest("a"), Reached::Again),
        (blob("a"), Reached::Again),
    ] {
        assert_eq!(walk.reach(step), Ok(expected));
    }
    let yielded: Vec<_> = walk.by_ref().collect();
    assert_eq!(yielded, [manifest("a"), blob("a"), manifest("b")]);
    // Meeting it again later changes nothing.
    assert_eq!(walk.reach(blob("a")), Ok(Reached::Again));
    assert_eq!(walk.next(), None);
}

#[test]
fn a_second_size_is_reported_once_for_each_size() {
    let mut walk = unlimited();
    assert_eq!(walk.reach(of_size(blob("a"), 5)), Ok(Reached::First));
    for (size, expected) in [
        (6, Reached::OtherSize { first: 5 }),
        (6, Reached::Again),
        (7, Reached::OtherSize { first: 5 }),
        (5, Reached::Again),
    ] {
        assert_eq!(walk.reach(of_size(blob("a"), size)), Ok(expected), "{size}");
    }
    let sizes: Vec<_> = walk.map(|step| step.size).collect();
    assert_eq!(sizes, [5, 6, 7]);
}

#[test]
fn li2_entries_are_limited_and_repetitions_are_free() {
    let mut walk = Walk::new(WalkLimits::new(8, 2, u64::MAX));
    assert_eq!(walk.reach(blob("a")), Ok(Reached::First));
    assert_eq!(walk.reach(blob("b")), Ok(Reached::First));
    let too_many = WalkError::TooMany { limit: 2 };
    assert_eq!(walk.reach(blob("c")), Err(too_many.clone()));
    assert_eq!(walk.reach(of_size(blob("a"), 2)), Err(too_many.clone()));
    assert_eq!(walk.defer(manifest("d")), Err(too_many.clone()));
    assert_eq!(walk.count_entry(), Err(too_many.clone()));
    assert_eq!(walk.reach(blob("a")), Ok(Reached::Again));
    assert_eq!(too_many.to_string(), "there are more than 2 entries");
    let yielded: Vec<_> = walk.collect();
    assert_eq!(yielded, [blob("a"), blob("b")]);
}

#[test]
fn li2_bytes_are_limited_in_all() {
    let mut walk: Walk<()> = Walk::new(WalkLimits::new(8, 1, 10));
    assert_eq!(walk.count_bytes(4), Ok(()));
    assert_eq!(walk.count_bytes(6), Ok(()));
    let too_large = WalkError::TooLarge { limit: 10 };
    assert_eq!(walk.count_bytes(1), Err(too_large.clone()));
    assert_eq!(walk.count_bytes(u64::MAX), Err(too_large.clone()));
    let expected = "the documents have more than 10 bytes";
    assert_eq!(too_large.to_string(), expected);
}

#[test]
fn li_manifests_are_read_to_the_limit_of_the_depth() {
    let walk: Walk<()> = Walk::new(WalkLimits::new(2, 1, 1));
    let mut step = manifest("0");
    for level in 1..=2 {
        step = step.child(&descriptor(&level.to_string()), ContentKind::Manifest, ());
        assert_eq!(step.depth, level);
        assert_eq!(walk.check_depth(&step), Ok(()));
    }
    let below = descriptor("3");
    let layer = step.child(&below, ContentKind::Blob, ());
    assert_eq!(walk.check_depth(&layer), Ok(()));
    let deeper = step.child(&below, ContentKind::Manifest, ());
    let error = walk.check_depth(&deeper).unwrap_err();
    let (digest, limit) = (below.digest, 2);
    assert_eq!(error, WalkError::TooDeep { digest, limit });
    let expected = "manifests are nested more than 2 deep";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_deferred_step_comes_last_and_only_if_nothing_else_reached_it() {
    let mut walk = Walk::new(WalkLimits::new(8, 4, u64::MAX));
    walk.defer(manifest("subject")).unwrap();
    walk.defer(manifest("listed")).unwrap();
    walk.reach(manifest("first")).unwrap();
    assert!(!walk.has_met(&descriptor("subject").digest));
    assert_eq!(walk.next(), Some(manifest("first")));
    walk.reach(manifest("listed")).unwrap();
    assert_eq!(walk.next(), Some(manifest("listed")));
    assert_eq!(walk.next(), Some(manifest("subject")));
    assert_eq!(walk.next(), None);
    assert!(walk.has_met(&descriptor("subject").digest));
    // Of the four entries three are in use: a deferred one is counted once.
    walk.count_entry().unwrap();
    let too_many = WalkError::TooMany { limit: 4 };
    assert_eq!(walk.count_entry(), Err(too_many));
}

#[test]
fn children_of_an_index_are_manifests() {
    let index = Document::Index(Index::new(Vec::new()));
    assert_eq!(ContentKind::of_children(&index), ContentKind::Manifest);
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    let image = crate::manifest::ImageManifest::new(config, Vec::new());
    let kind = ContentKind::of_children(&Document::Image(image));
    assert_eq!(kind, ContentKind::Blob);
}
