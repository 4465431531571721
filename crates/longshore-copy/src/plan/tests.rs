use longshore::Client;
use longshore_model::{Reference, WalkError};
use longshore_store::MemoryStore;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{Part, Registry};

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
