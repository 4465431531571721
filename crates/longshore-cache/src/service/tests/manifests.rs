//! Manifests: hits, revalidation, and what is answered when the upstream is in trouble.

use super::*;

#[tokio::test]
async fn a_manifest_is_fetched_once_and_answered_byte_for_byte() {
    let cache = Cache::new();
    let tree = tree();
    let found = cache.get(&manifest("v1")).await;
    assert_eq!(found.status, StatusCode::OK);
    let digest = tree.digest().to_string();
    assert_eq!(found.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(
        cache.upstream_requests(),
        [format!("GET {}", manifest("v1"))]
    );
    let again = cache.get(&manifest("v1")).await;
    assert_eq!(again.bytes(), found.bytes());
    assert_eq!(again.header("cache-status"), Some("longshore; hit"));
    assert_eq!(cache.upstream_requests(), [""; 0]);
    let expected = [Outcome::Miss(MissReason::Cold), Outcome::Hit];
    assert_eq!(cache.outcomes(), expected);
}
