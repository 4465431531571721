use std::collections::{HashMap, HashSet};

use longshore::Client;
use longshore_model::{Descriptor, Document, Index, Reference, WalkError};
use longshore_store::MemoryStore;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{Part, Registry};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::end::{MemoryEnd, RegistryEnd};

/// Plans a pull of `tree` within `limits`; gives the number of requests for manifests.
async fn plan(limits: WalkLimits, tree: &Tree) -> (Result<Plan, TransferError>, usize) {
    let registry = Registry::builder().image("a", "1", tree).start().unwrap();
    let reference: Reference = format!("{}/a:1", registry.authority()).parse().unwrap();
    let client = Client::builder().build().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let source = Arc::new(RegistryEnd::new(repository, reference.target()));
    let memory = Arc::new(MemoryEnd::new(MemoryStore::new()));
    let plan = Plan::make_within(limits, source, vec![memory], &CopyOptions::default()).await;
    (plan, registry.requests_to(Part::Manifest).len())
}

/// Returns how many manifests there are, and how many the destination lacked.
fn counts(plan: &Plan) -> (usize, u64) {
    let missing = plan.destinations()[0].missing_manifests();
    (plan.manifests().len(), missing)
}

#[track_caller]
fn check_refused(plan: Result<Plan, TransferError>, expected: WalkError) {
    match plan.unwrap_err() {
        TransferError::Graph(error) => assert_eq!(error, expected),
        other => panic!("another error: {other}"),
    }
}

// LI2: memory is not sized by what a peer sends.
#[tokio::test]
async fn li2_the_parts_of_an_image_have_a_limit() {
    let tree = image::single(1);
    let limits = |entries| WalkLimits::new(8, entries, u64::MAX);
    let (fits, _) = plan(limits(5), &tree).await;
    assert_eq!(fits.unwrap().destinations()[0].missing().count(), 4);
    let (refused, _) = plan(limits(4), &tree).await;
    check_refused(refused, WalkError::TooMany { limit: 4 });
}

// LI2: each manifest takes more than all of the memory, so one is read after the other, while the
// caller holds the index.
#[tokio::test]
async fn li2_manifests_that_exceed_the_memory_are_read_one_by_one() {
    let tree = image::index(3, &image::platforms()[..5]);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference: Reference = format!("{}/a:1", registry.authority()).parse().unwrap();
    let client = Client::builder().memory(2048).build().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let top = repository.manifest(&reference.target()).await.unwrap();
    let source = Arc::new(RegistryEnd::new(repository, reference.target()));
    let memory = Arc::new(MemoryEnd::new(MemoryStore::new()));
    let options = CopyOptions::default();
    let plan = Plan::make(source, vec![memory], &options).await;
    assert_eq!(counts(&plan.unwrap()), (6, 6));
    assert_eq!(top.digest(), tree.digest());
}

// LI2: the sum is known before the manifests are fetched.
#[tokio::test]
async fn li2_the_manifests_of_an_image_have_a_limit_together() {
    let tree = image::index(2, &image::platforms()[..5]);
    let children = tree.children().iter();
    let sizes: u64 = children.map(|child| child.descriptor().size).sum();
    let limits = |bytes| WalkLimits::new(8, 100, bytes);
    let (fits, requests) = plan(limits(sizes), &tree).await;
    assert_eq!((counts(&fits.unwrap()), requests), ((6, 6), 6));
    let (refused, requests) = plan(limits(sizes - 1), &tree).await;
    check_refused(refused, WalkError::TooLarge { limit: sizes - 1 });
    assert_eq!(requests, 1);
}

/// Writes a nest of indexes to a store, from the bottom up: for each, which of those before it it
/// lists, at most to `depth` levels. Returns the last one, which lists all that nobody lists.
fn nest(store: &MemoryStore, picks: &[Vec<usize>], depth: usize) -> Digest {
    let mut made: Vec<(Descriptor, usize)> = Vec::new();
    let mut listed = HashSet::new();
    let add = |made: &mut Vec<(Descriptor, usize)>, children: Vec<usize>| {
        let levels = children.iter().map(|&it| made[it].1 + 1).max();
        let mut index = Index::new(children.iter().map(|&it| made[it].0.clone()).collect());
        let number = ("number".to_owned(), made.len().to_string());
        index.annotations.extend([number]);
        let manifest = Manifest::from_document(&Document::Index(index)).unwrap();
        store.put(manifest.digest(), manifest.bytes()).unwrap();
        made.push((manifest.descriptor(), levels.unwrap_or_default()));
    };
    for pick in picks {
        let mut children: Vec<usize> = pick.iter().copied().filter(|&it| it < made.len()).collect();
        children.retain(|&it| made[it].1 + 2 < depth);
        listed.extend(children.iter().copied());
        add(&mut made, children);
    }
    let rest = (0..made.len()).filter(|it| !listed.contains(it)).collect();
    add(&mut made, rest);
    made.last().unwrap().0.digest.clone()
}

proptest! {
    // DG7: a manifest is written after everything that it lists, however they are nested.
    #[test]
    fn dg7_every_manifest_has_its_children_below_it(
        picks in vec(vec(0_usize..60, 0..6), 20..60),
    ) {
        let store = MemoryStore::new();
        let digest = nest(&store, &picks, INDEX_DEPTH_LIMIT);
        let source = Arc::new(MemoryEnd::new(store.clone()).with_image(digest));
        let target = Arc::new(MemoryEnd::new(MemoryStore::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = CopyOptions::default();
        let plan = runtime.block_on(Plan::make(source, vec![target], &options)).unwrap();
        prop_assert_eq!(plan.manifests().len(), picks.len() + 1);
        let heights: HashMap<_, _> =
            plan.manifests().iter().map(|it| (it.digest.clone(), it.height())).collect();
        for manifest in plan.manifests() {
            let read = stored_manifest(&store, &manifest.digest, manifest.size).unwrap().unwrap();
            for child in read.document().children() {
                prop_assert!(heights[&child.digest] < manifest.height());
            }
        }
    }
}

// LI: limits of size and count. Breadth first, every manifest is at level 1; the longest way down
// has more levels than are followed.
#[tokio::test]
async fn li_the_longest_nest_counts() {
    let chain = |levels: usize| -> Vec<Vec<usize>> {
        (0..levels)
            .map(|it| it.checked_sub(1).into_iter().collect())
            .collect()
    };
    // Two more indexes are above the chain.
    for (levels, fits) in [(INDEX_DEPTH_LIMIT - 1, true), (INDEX_DEPTH_LIMIT, false)] {
        let store = MemoryStore::new();
        nest(&store, &chain(levels), usize::MAX);
        let all: Vec<Descriptor> = store
            .list()
            .unwrap()
            .map(|it| {
                let digest = it.unwrap();
                let size = store.size(&digest).unwrap().unwrap();
                Descriptor::new(MediaType::OCI_INDEX, digest, size)
            })
            .collect();
        let top = Manifest::from_document(&Document::Index(Index::new(all))).unwrap();
        store.put(top.digest(), top.bytes()).unwrap();
        let source = Arc::new(MemoryEnd::new(store).with_image(top.digest().clone()));
        let target = Arc::new(MemoryEnd::new(MemoryStore::new()));
        let plan = Plan::make(source, vec![target], &CopyOptions::default()).await;
        assert_eq!(plan.is_ok(), fits, "{levels}");
        if let Err(error) = plan {
            assert!(
                matches!(error, TransferError::Graph(WalkError::TooDeep { .. })),
                "{error}"
            );
        }
    }
}
