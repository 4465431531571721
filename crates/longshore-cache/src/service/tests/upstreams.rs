//! Two upstreams: what one says about content must not change what clients of the other get.

use longshore_model::MediaType;
use longshore_testkit::image::DescribedContent;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use super::*;

/// A cache in front of a registry and of `evil.example`, a registry with the same content.
fn two(registry: impl Fn() -> Builder) -> (Cache, Registry) {
    let evil = registry().start().unwrap();
    let name: UpstreamName = "evil.example".parse().unwrap();
    let upstream = Upstream::builder(name.clone(), &evil.url());
    let upstream = upstream.clock(TestClock::default()).build().unwrap();
    let good: UpstreamName = "registry.example".parse().unwrap();
    let router = Router::builder().upstream(good.clone()).unwrap();
    let router = router.upstream(name).unwrap();
    let router = router.default_upstream(&good).unwrap().build();
    let cache = Setup::over(registry())
        .service(move |service| service.router(router).upstream(upstream))
        .start();
    (cache, evil)
}

/// The same path at the other upstream.
fn at_evil(path: &str) -> String {
    path.replacen("/app/", "/evil.example/app/", 1)
}

#[tokio::test]
async fn dg4_the_type_of_a_manifest_does_not_depend_on_another_upstream() {
    let (cache, evil) = two(Registry::builder);
    let bytes = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"{0}\",\"digest\":\"{1}\",\"size\":0}},\
         \"layers\":[]}}",
        MediaType::OCI_CONFIG,
        Digest::sha256(b""),
    );
    let of_type = |media_type| DescribedContent::new(media_type, Bytes::from(bytes.clone()).into());
    let good = of_type(MediaType::OCI_MANIFEST);
    let digest = good.descriptor.digest.clone();
    cache.registry.contents().add_document("app", "v1", good);
    let other = of_type(MediaType::DOCKER_MANIFEST);
    evil.contents().add_document("app", "v1", other);
    for path in [at_evil(&manifest("v1")), manifest("v1"), manifest(&digest)] {
        for method in [Method::GET, Method::HEAD] {
            let answer = cache.ask(method, &path, &[]).await;
            let found = answer.header("content-type");
            assert_eq!(found, Some(MediaType::OCI_MANIFEST.as_str()), "{path}");
        }
    }
}

#[tokio::test]
async fn dg2_the_size_of_a_blob_does_not_come_from_another_upstream() {
    let (cache, evil) = two(|| Registry::builder().image("app", "v1", &tree()));
    let layer = tree().blobs().last().unwrap().clone();
    let path = blob(&layer.descriptor.digest);
    for size in [5, u64::MAX / 2] {
        evil.misbehave(Rule::on(Part::Blob, Misbehaviour::Length(size)));
        cache.head(&at_evil(&path)).await;
        let head = cache.head(&path).await;
        let length = layer.descriptor.size.to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
        evil.behave();
    }
    assert_eq!(*cache.get(&path).await.bytes(), layer.content.bytes());
}
