use http::{Method, Request};
use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Docker Hub is the default, some registries have their host as prefix, and one has a port.
fn router() -> Router {
    let name = |text: &str| text.parse::<UpstreamName>().unwrap();
    let mut builder = Router::builder();
    for prefix in ["docker.io", "quay.io", "registry.example", "team/mirror"] {
        builder = builder.upstream(name(prefix)).unwrap();
    }
    let hub = name("docker.io");
    let ns = builder.namespace("registry.example:5000", &name("registry.example"));
    let ns = ns.unwrap().host("quay.cache.example", &name("quay.io"));
    let hub = ns
        .unwrap()
        .host("docker.example", &hub)
        .unwrap()
        .official_images(&hub);
    hub.unwrap()
        .default_upstream(&name("docker.io"))
        .unwrap()
        .build()
}

fn parts(method: &Method, uri: &str, host: &str) -> Parts {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", host);
    request.body(()).unwrap().into_parts().0
}

fn read(uri: &str, host: &str) -> Result<TargetRead, Refusal> {
    match Target::read(&parts(&Method::GET, uri, host), &router())? {
        Target::Read(read) => Ok(*read),
        other => panic!("{uri} is {other:?}"),
    }
}

const CACHE: &str = "cache.example:5000";

/// All ways in which a client names `docker.io/library/alpine:3.20`, or another image.
#[test]
fn every_url_shape_of_each_client_names_the_same_image() {
    let hub = "docker.io/library/alpine";
    for (client, host, path, image) in [
        ("dockerd", CACHE, "/v2/library/alpine", hub),
        (
            "dockerd, containerd store",
            CACHE,
            "/v2/library/alpine?ns=docker.io",
            hub,
        ),
        (
            "dockerd, path",
            CACHE,
            "/docker.io/v2/library/alpine?ns=docker.io",
            hub,
        ),
        (
            "containerd",
            CACHE,
            "/quay.io/v2/a/b?ns=quay.io",
            "quay.io/a/b",
        ),
        (
            "containerd, _default",
            CACHE,
            "/v2/a/b?ns=quay.io",
            "quay.io/a/b",
        ),
        (
            "containerd, override_path",
            CACHE,
            "/v2/docker.io/library/alpine?ns=docker.io",
            hub,
        ),
        (
            "containerd, port",
            CACHE,
            "/v2/a/b?ns=registry.example:5000",
            "registry.example/a/b",
        ),
        (
            "containerd, port",
            CACHE,
            "/v2/a?ns=registry.example%3A5000",
            "registry.example/a",
        ),
        (
            "BuildKit",
            CACHE,
            "/v2/docker.io/library/alpine?ns=docker.io",
            hub,
        ),
        ("podman", CACHE, "/v2/docker.io/library/alpine", hub),
        ("podman", CACHE, "/v2/quay.io/a/b", "quay.io/a/b"),
        ("crane", CACHE, "/v2/index.docker.io/library/alpine", hub),
        ("helm", CACHE, "/v2/team/mirror/a/b", "team/mirror/a/b"),
        (
            "path of two segments",
            CACHE,
            "/team/mirror/v2/a/b",
            "team/mirror/a/b",
        ),
        ("DNS", "docker.example", "/v2/library/alpine", hub),
        ("DNS", "quay.cache.example:443", "/v2/a/b", "quay.io/a/b"),
        ("official", CACHE, "/v2/docker.io/alpine", hub),
        ("official", CACHE, "/v2/alpine", hub),
        ("official", CACHE, "/v2/alpine?ns=index.docker.io", hub),
        (
            "official",
            CACHE,
            "/docker.io/v2/alpine?ns=REGISTRY-1.docker.io",
            hub,
        ),
        (
            "not official",
            CACHE,
            "/v2/quay.io/alpine",
            "quay.io/alpine",
        ),
        (
            "every name at once",
            "quay.cache.example",
            "/quay.io/v2/quay.io/a?ns=quay.io",
            "quay.io/a",
        ),
        (
            "the prefix wins",
            CACHE,
            "/v2/quay.io/quay.io/a",
            "quay.io/quay.io/a",
        ),
        (
            "not a whole segment",
            CACHE,
            "/v2/team/mirror-x/a",
            "docker.io/team/mirror-x/a",
        ),
        (
            "a part of a prefix",
            CACHE,
            "/v2/team/x",
            "docker.io/team/x",
        ),
        (
            "the API in a name",
            CACHE,
            "/v2/quay.io/v2/a",
            "quay.io/v2/a",
        ),
        (
            "the API in a name",
            CACHE,
            "/quay.io/v2/a/v2/b",
            "quay.io/a/v2/b",
        ),
    ] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        for rest in ["manifests/3.20", &format!("blobs/{DIGEST}"), "tags/list"] {
            let uri = format!("{path}/{rest}?{query}");
            let found = read(&uri, host).unwrap();
            assert_eq!(found.image.to_string(), image, "{client}: {uri}");
            assert_eq!(
                found.endpoint.name(),
                Some(&found.image.repository),
                "{client}"
            );
            let (base, outer) = path.split_once("/v2/").unwrap();
            assert_eq!(
                (found.outer.base.as_str(), found.outer.name.as_str()),
                (base, outer)
            );
        }
    }
}

#[test]
fn a_namespace_is_repeated_as_it_was_sent() {
    for (query, repeated) in [("", None), ("?ns=Docker.io", Some("Docker.io"))] {
        let found = read(&format!("/v2/alpine/manifests/1{query}"), CACHE).unwrap();
        let namespace = found
            .namespace
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(namespace.as_deref(), repeated);
    }
}

#[test]
fn an_authority_in_the_uri_comes_before_the_host_field() {
    let uri = "http://quay.cache.example/v2/a/b/manifests/1";
    let found = read(uri, "docker.example").unwrap();
    assert_eq!(found.image.to_string(), "quay.io/a/b");
}

// CA11: names that disagree are refused, unknown ones are 404, and none is used as an address.
#[test]
fn ca11_names_that_disagree_or_are_unknown_are_refused() {
    for (host, path, status, code) in [
        (CACHE, "/v2/quay.io/a/b?ns=docker.io", 400, "NAME_INVALID"),
        (CACHE, "/quay.io/v2/a/b?ns=docker.io", 400, "NAME_INVALID"),
        (CACHE, "/quay.io/v2/docker.io/a/b", 400, "NAME_INVALID"),
        (
            "quay.cache.example",
            "/v2/docker.io/a/b",
            400,
            "NAME_INVALID",
        ),
        (
            "quay.cache.example",
            "/v2/a/b?ns=docker.io",
            400,
            "NAME_INVALID",
        ),
        (
            "quay.cache.example",
            "/docker.io/v2/a/b",
            400,
            "NAME_INVALID",
        ),
        (CACHE, "/v2/a/b?ns=evil.example", 404, "NAME_UNKNOWN"),
        (
            CACHE,
            "/v2/quay.io/a/b?ns=evil.example",
            404,
            "NAME_UNKNOWN",
        ),
        (CACHE, "/v2/a/b?ns=quay.io:444", 404, "NAME_UNKNOWN"),
        (CACHE, "/v2/a/b?ns=169.254.169.254", 404, "NAME_UNKNOWN"),
        (CACHE, "/evil.example/v2/a/b", 404, "NAME_UNKNOWN"),
        (CACHE, "/quay.io/x/v2/a/b", 404, "NAME_UNKNOWN"),
        (CACHE, "/v2/ghcr.io/a/b", 404, "NAME_UNKNOWN"),
        (CACHE, "/v2/quay.io-x/a", 404, "NAME_UNKNOWN"),
        (CACHE, "/v2/localhost/a", 404, "NAME_UNKNOWN"),
        (CACHE, "/v2/quay.io", 400, "NAME_INVALID"),
        (CACHE, "/docker.io/v2/docker.io", 400, "NAME_INVALID"),
    ] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let uri = format!("{path}/manifests/1?{query}");
        let refusal = read(&uri, host).unwrap_err();
        assert_eq!(refusal.status.as_u16(), status, "{uri}: {refusal}");
        assert!(
            refusal.body.names(&ErrorCode::from(code)),
            "{uri}: {refusal}"
        );
    }
}

#[test]
fn what_is_malformed_is_400_or_404_with_a_document() {
    for (path, status, code) in [
        ("/v2/a/blobs/sha256:abc", 400, "DIGEST_INVALID"),
        ("/v2/a/blobs/latest", 400, "DIGEST_INVALID"),
        ("/quay.io/v2/a/referrers/x", 400, "DIGEST_INVALID"),
        ("/v2/a/manifests/-x", 400, "MANIFEST_INVALID"),
        ("/v2/UP/manifests/1", 400, "NAME_INVALID"),
        ("/v2/a/../b/manifests/1", 400, "NAME_INVALID"),
        ("/v2/quay.io//a/manifests/1", 400, "NAME_INVALID"),
        ("/v2/quay%2Eio/a/manifests/1", 400, "NAME_INVALID"),
        ("/v2/a", 404, "NAME_UNKNOWN"),
        ("/UP/v2/a/manifests/1", 400, "NAME_INVALID"),
        ("/v2/a/manifests/1?ns=a&ns=b", 400, "NAME_INVALID"),
        ("/v2/a/manifests/1?ns=%ff", 400, "NAME_INVALID"),
        ("/v1/a/manifests/1", 404, "NAME_UNKNOWN"),
        ("/", 404, "NAME_UNKNOWN"),
    ] {
        let refusal = read(path, CACHE).unwrap_err();
        assert_eq!(refusal.status.as_u16(), status, "{path}: {refusal}");
        assert!(
            refusal.body.names(&ErrorCode::from(code)),
            "{path}: {refusal}"
        );
    }
    let mut twice = parts(&Method::GET, "/v2/a/manifests/1", "docker.example");
    twice
        .headers
        .append("host", HeaderValue::from_static("quay.cache.example"));
    let refusal = Target::read(&twice, &router()).unwrap_err();
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
}

// CA11: the cache is read-only.
#[test]
fn ca11_every_write_method_is_405_on_every_path() {
    let methods = [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
    ];
    for method in methods.map(|it| Method::from_bytes(it.as_bytes()).unwrap()) {
        for path in [
            "/v2/",
            "/v2/_catalog",
            "/v2/a/manifests/1",
            "/v2/quay.io/a/blobs/uploads/",
            "/v2/a/blobs/uploads/1",
            "/v2/a/tags/list?ns=evil.example",
            "/v2/UP/blobs/x",
            "/quay.io/v2/a/manifests/1",
            "/evil.example/v2/a/manifests/1",
            "/anything",
        ] {
            let refusal = Target::read(&parts(&method, path, CACHE), &router()).unwrap_err();
            assert_eq!(
                refusal.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert!(
                refusal.body.names(&ErrorCode::Unsupported),
                "{method} {path}"
            );
        }
    }
}

// CA11: `n` is reduced to 1,000.
#[test]
fn ca11_n_is_reduced_to_1000() {
    let names: Vec<_> = (0..3_000).map(|at| format!("{at:04}")).collect();
    for n in ["1001", "2500", "4294967295", "99999999999999999999"] {
        let found = read(&format!("/v2/a/tags/list?n={n}"), CACHE).unwrap();
        let Endpoint::Tags(request) = found.endpoint else {
            panic!("not a list of tags")
        };
        let page = request.answer("", &names, PAGE_ENTRIES_LIMIT).unwrap();
        let tags = longshore_proto::endpoint::read_tags(page.body()).unwrap();
        assert_eq!(tags.count(), 1000, "{n}");
    }
}

#[test]
fn requests_about_no_repository_are_read_too() {
    let target = |uri: &str| Target::read(&parts(&Method::GET, uri, CACHE), &router());
    for uri in ["/v2/", "/v2", "/quay.io/v2/", "/v2/?ns=quay.io"] {
        assert_eq!(target(uri), Ok(Target::Ping), "{uri}");
    }
    for (uri, base, upstream) in [
        ("/v2/_catalog?n=5", "", None),
        (
            "/team/mirror/v2/_catalog?n=5",
            "/team/mirror",
            Some("team/mirror"),
        ),
    ] {
        let Target::Catalogue(found) = target(uri).unwrap() else {
            panic!("{uri} is no catalogue")
        };
        assert_eq!(found.request.page.get("n").as_deref(), Some("5"));
        assert_eq!(found.base, base);
        assert_eq!(found.upstream.as_ref().map(UpstreamName::as_str), upstream);
    }
    for uri in [
        "/evil.example/v2/",
        "/v2/?ns=evil.example",
        "/evil.example/v2/_catalog",
    ] {
        assert_eq!(
            target(uri).unwrap_err().status,
            StatusCode::NOT_FOUND,
            "{uri}"
        );
    }
}

/// A router and its upstreams. The first is the default; each has a namespace and a host with its
/// position in the name.
fn any_router() -> impl Strategy<Value = (Router, Vec<UpstreamName>)> {
    let segment = "[a-c]{1,2}(\\.[a-c])?";
    let prefix = proptest::collection::vec(segment, 1..=2).prop_map(|it| it.join("/"));
    let prefix = prop_oneof![4 => prefix, 1 => Just("docker.io".to_owned())];
    (proptest::collection::vec((prefix, any::<bool>()), 1..6)).prop_map(|prefixes| {
        let mut table: Vec<(UpstreamName, bool)> = Vec::new();
        for (prefix, is_official) in prefixes {
            let within = |a: &str, b: &str| format!("{a}/").starts_with(&format!("{b}/"));
            let mut known = table.iter().map(|(name, _)| name.as_str());
            if !known.any(|name| within(name, &prefix) || within(&prefix, name)) {
                table.push((prefix.parse().unwrap(), is_official));
            }
        }
        let mut builder = Router::builder();
        for (at, (name, is_official)) in table.iter().enumerate() {
            builder = builder.upstream(name.clone()).unwrap();
            builder = builder
                .namespace(&format!("ns{at}.example:5000"), name)
                .unwrap();
            builder = builder.host(&format!("host{at}.example"), name).unwrap();
            if *is_official {
                builder = builder.official_images(name).unwrap();
            }
            if at == 0 {
                builder = builder.default_upstream(name).unwrap();
            }
        }
        (
            builder.build(),
            table.into_iter().map(|(name, _)| name).collect(),
        )
    })
}

proptest! {
    /// All forms in which clients may write a name resolve to the same name.
    #[test]
    fn a_name_written_in_any_shape_reads_back(
        (router, upstreams) in any_router(),
        which in any::<prop::sample::Index>(),
        repository in "[a-c]{1,2}(\\.[a-c])?(/([a-c]{1,2}|v2|blobs|docker\\.io)){1,3}",
        base in any::<bool>(),
        prefix in any::<bool>(),
        namespace in any::<bool>(),
        host in any::<bool>(),
    ) {
        let at = which.index(upstreams.len());
        let upstream = &upstreams[at];
        let begins_like_a_prefix = upstreams.iter().any(|it| {
            format!("{repository}/").starts_with(&format!("{it}/"))
        });
        let begins_with_host = repository.split('/').next().is_some_and(|it| it.contains('.'));
        let is_default = router.default_upstream() == Some(upstream) && !begins_with_host;
        // A name alone belongs to the default upstream, unless it begins with the prefix of another
        // one.
        prop_assume!(prefix || !begins_like_a_prefix);
        prop_assume!(base || prefix || namespace || host || is_default);

        let uri = format!(
            "{}/v2/{}{repository}/manifests/1{}",
            if base { format!("/{upstream}") } else { String::new() },
            if prefix { format!("{upstream}/") } else { String::new() },
            if namespace { format!("?ns=ns{at}.example:5000") } else { String::new() },
        );
        let host = if host { format!("host{at}.example:80") } else { CACHE.to_owned() };
        let found = router.resolve(&parts(&Method::GET, &uri, &host));
        let image = ImageName::new(upstream.clone(), repository.parse().unwrap());
        prop_assert_eq!(found, Ok(Some(image)), "{} at {}", uri, host);
    }
}
