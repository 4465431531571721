//! Lists of tags and of referrers, and the catalogue.

use longshore_testkit::registry::Quirks;
use serde_json::Value;

use super::*;

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(answer.bytes()).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The target of the `Link` to the next page.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let target = link.strip_prefix('<').unwrap();
    Some(target.split_once(">; rel=\"next\"").unwrap().0.to_owned())
}

/// A cache whose upstream has this many tags of `app`, `t0000` and so on, in pages of 300.
fn with_tags(count: usize) -> (Cache, Vec<String>) {
    let names: Vec<_> = (0..count).map(|number| format!("t{number:04}")).collect();
    let cache = Cache::over(Registry::builder());
    for name in &names {
        cache.registry.contents().add("app", name, &tree());
    }
    (cache, names)
}

#[tokio::test]
async fn ca11_tags_come_in_pages_of_at_most_1000_as_the_client_named_the_repository() {
    let (cache, names) = with_tags(2300);
    for (first, name, link) in [
        (
            format!("/{API}/app/tags/list"),
            "app",
            format!("/{API}/app/"),
        ),
        (
            format!("/{API}/registry.example/app/tags/list?n=5000"),
            "registry.example/app",
            format!("/{API}/registry.example/app/"),
        ),
        (
            format!("/registry.example/{API}/app/tags/list?n=1000"),
            "app",
            format!("/registry.example/{API}/app/"),
        ),
    ] {
        let (mut found, mut pages, mut path) = (Vec::new(), 0, Some(first.clone()));
        while let Some(at) = path {
            let answer = cache.get(&at).await;
            assert_eq!(json(&answer)["name"], name, "{at}");
            let tags = texts(&json(&answer)["tags"]);
            assert!(tags.len() <= 1000, "{at}: {}", tags.len());
            found.extend(tags);
            path = next(&answer);
            assert!(
                path.as_ref().is_none_or(|it| it.starts_with(&link)),
                "{path:?}"
            );
            pages += 1;
        }
        assert_eq!((found == names, pages), (true, 3), "{first}");
    }
    let answer = cache
        .get(&format!("/{API}/app/tags/list?n=2&last=t0010a"))
        .await;
    assert_eq!(texts(&json(&answer)["tags"]), ["t0011", "t0012"]);
    // Everything came from one list.
    let all = cache.upstream_requests();
    assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
    let hits = cache.outcomes().iter().filter(|it| it.is_hit()).count();
    assert_eq!(hits, 9);
}

#[tokio::test]
async fn ca8_a_list_has_a_ttl_and_is_served_stale() {
    let (cache, _) = with_tags(3);
    let path = path("app", "tags", "list");
    cache.get(&path).await;
    cache.advance(TTL - seconds(1));
    cache.get(&path).await;
    assert_eq!(cache.upstream_requests().len(), 1);
    cache.advance(seconds(1));
    cache.registry.contents().add("app", "t0003", &tree());
    let answer = cache.get(&path).await;
    assert_eq!(json(&answer)["tags"].as_array().unwrap().len(), 4);
    cache.advance(TTL);
    cache.misbehave(Rule::always(Misbehaviour::Status(StatusCode::BAD_GATEWAY)));
    let answer = cache.get(&path).await;
    assert_eq!(json(&answer)["tags"].as_array().unwrap().len(), 4);
    assert_eq!(
        answer.header("cache-status"),
        Some("longshore; hit; detail=stale")
    );
    cache.advance(seconds(24 * 60 * 60));
    assert_eq!(cache.get(&path).await.status, StatusCode::BAD_GATEWAY);
    cache.misbehave(Rule::always(Misbehaviour::Status(StatusCode::NOT_FOUND)));
    for outcome in [Outcome::Miss(MissReason::Expired), Outcome::Negative] {
        let answer = cache.get(&path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN".into())
        );
        assert_eq!(cache.outcome(), Some(outcome));
    }
}

#[tokio::test]
async fn referrers_are_listed_and_filtered_whatever_the_upstream_has() {
    let subject = tree();
    let (one, two) = (image::attached(1, &subject), image::attached(2, &subject));
    let fallback = format!("sha256-{}", &subject.digest().as_str()["sha256:".len()..]);
    for quirks in [Quirks::default(), Quirks::distribution()] {
        let registry = Registry::builder().image("app", "v1", &subject);
        let has_api = quirks.referrers == Quirks::default().referrers;
        let cache = Cache::over(registry.quirks(quirks));
        let list = path("app", "referrers", subject.digest());
        let answer = cache.get(&list).await;
        assert_eq!(answer.status, StatusCode::OK);
        let index = "application/vnd.oci.image.index.v1+json";
        assert_eq!(answer.header("content-type"), Some(index));
        assert_eq!(json(&answer)["manifests"], Value::Array(vec![]));
        cache.advance(TTL);
        let contents = cache.registry.contents();
        if has_api {
            contents.attach("app", &one);
            contents.attach("app", &two);
        } else {
            let both = vec![one.clone(), two.clone()];
            contents.add("app", &fallback, &image::index_of(both));
        }
        let answer = cache.get(&list).await;
        let found = json(&answer)["manifests"].clone();
        let digests = found
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["digest"].as_str().unwrap());
        let mut digests: Vec<_> = digests.collect();
        let mut expected = [one.digest().as_str(), two.digest().as_str()];
        digests.sort_unstable();
        expected.sort_unstable();
        assert_eq!(digests, expected, "{has_api}");
        let answer = cache
            .get(&format!("{list}?artifactType=application/none"))
            .await;
        assert_eq!(json(&answer)["manifests"], Value::Array(vec![]));
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
        assert_eq!(cache.outcome(), Some(Outcome::Hit));
    }
}

#[tokio::test]
async fn a_fallback_tag_has_the_ttl_of_a_tag() {
    let subject = tree();
    let fallback = format!("sha256-{}", &subject.digest().as_str()["sha256:".len()..]);
    let cache = Cache::over(Registry::builder().image("app", &fallback, &subject));
    let path = manifest(&fallback);
    cache.get(&path).await;
    cache.advance(TTL);
    cache.get(&path).await;
    let (get, head) = (format!("GET {path}"), format!("HEAD {path}"));
    assert_eq!(cache.upstream_requests(), [get, head]);
}

#[tokio::test]
async fn the_catalogue_lists_what_is_cached() {
    let registry = Registry::builder().image("b/app", "v1", &tree());
    let cache = Cache::over(registry.image("a", "v1", &tree()));
    let catalogue = format!("/{API}/_catalog");
    assert_eq!(
        json(&cache.get(&catalogue).await)["repositories"],
        Value::Array(vec![])
    );
    for repository in ["b/app", "a"] {
        cache.get(&path(repository, "manifests", "v1")).await;
    }
    cache.settle().await;
    cache.upstream_requests();
    let all = ["registry.example/a", "registry.example/b/app"];
    let prefixed = format!("/registry.example/{API}/_catalog");
    let named = format!("{catalogue}?ns=registry.example");
    for path in [&catalogue, &prefixed, &named] {
        let answer = cache.get(path).await;
        assert_eq!(texts(&json(&answer)["repositories"]), all, "{path}");
    }
    let answer = cache.get(&format!("{catalogue}?n=1")).await;
    assert_eq!(texts(&json(&answer)["repositories"]), all[..1]);
    let answer = cache.get(&next(&answer).unwrap()).await;
    assert_eq!(texts(&json(&answer)["repositories"]), all[1..]);
    assert_eq!(cache.upstream_requests(), [""; 0]);
}
