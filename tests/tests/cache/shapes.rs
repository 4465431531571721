//! Every form in which clients name an image, against one configuration.

use longshore_tests::http;

use super::*;

/// What a request must lead to.
#[derive(Clone, Copy, PartialEq)]
enum To {
    Hub,
    Quay,
    Status(u16),
}

const SHAPES: &[(&str, &str, Option<&str>, To)] = &[
    // Path before `manifests`, `ns`, another `Host`.
    ("dockerd, classic", "/v2/library/app", None, To::Hub),
    ("an official image", "/v2/app", None, To::Hub),
    (
        "dockerd with containerd",
        "/v2/library/app?ns=docker.io",
        None,
        To::Hub,
    ),
    ("hosts.toml", "/v2/team/app?ns=quay.io", None, To::Quay),
    (
        "hosts.toml with a path",
        "/docker.io/v2/library/app?ns=docker.io",
        None,
        To::Hub,
    ),
    (
        "hosts.toml with a path",
        "/quay.io/v2/team/app?ns=quay.io",
        None,
        To::Quay,
    ),
    (
        "override_path",
        "/v2/docker.io/library/app?ns=docker.io",
        None,
        To::Hub,
    ),
    (
        "BuildKit",
        "/v2/quay.io/team/app?ns=quay.io",
        None,
        To::Quay,
    ),
    ("podman", "/v2/docker.io/library/app", None, To::Hub),
    ("podman", "/v2/quay.io/team/app", None, To::Quay),
    ("kaniko", "/v2/docker.io/app", None, To::Hub),
    (
        "another name of Docker Hub",
        "/v2/index.docker.io/library/app",
        None,
        To::Hub,
    ),
    (
        "another name of Docker Hub",
        "/v2/library/app?ns=registry-1.docker.io",
        None,
        To::Hub,
    ),
    (
        "a host of the cache",
        "/v2/team/app",
        Some("quay.cache.example"),
        To::Quay,
    ),
    (
        "a host with a port",
        "/v2/team/app",
        Some("quay.cache.example:5000"),
        To::Quay,
    ),
    (
        "names that disagree",
        "/v2/docker.io/library/app?ns=quay.io",
        None,
        To::Status(400),
    ),
    (
        "names that disagree",
        "/quay.io/v2/library/app?ns=docker.io",
        None,
        To::Status(400),
    ),
    (
        "an unknown upstream",
        "/v2/library/app?ns=evil.example",
        None,
        To::Status(404),
    ),
    (
        "an unknown path",
        "/evil.example/v2/library/app",
        None,
        To::Status(404),
    ),
    ("a malformed name", "/v2/Library/app", None, To::Status(400)),
];

#[test]
fn every_form_of_a_name_leads_to_its_upstream() {
    let (app, tool) = (image_of(1), image_of(2));
    let hub = kit("library/app", "1", &app);
    let quay = kit("team/app", "1", &tool);
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("cache.toml");
    let text = format!(
        "[[serve.upstream]]\nprefix = \"docker.io\"\nurl = {:?}\n\
         [[serve.upstream]]\nprefix = \"quay.io\"\nurl = {:?}\nhosts = [\"quay.cache.example\"]\n",
        hub.url(),
        quay.url()
    );
    fs::write(&config, text).unwrap();
    let cache = Serve::builder().args(["--config", config.to_str().unwrap()]);
    let cache = cache.start();
    for (client, name, host, to) in SHAPES {
        let (path, query) = name.split_once('?').unwrap_or((name, ""));
        let ns = query.strip_prefix("ns=");
        let tree = match to {
            To::Hub => &app,
            To::Quay => &tool,
            To::Status(_) => &app,
        };
        let [_, layer, ..] = tree.child(host_platform()).unwrap().blobs() else {
            unreachable!("the image has a config and layers")
        };
        let contents = [
            (format!("manifests/{}", tree.digest()), tree.document()),
            ("manifests/1".to_owned(), tree.document()),
            (
                format!("blobs/{}", layer.descriptor.digest),
                layer.content.bytes(),
            ),
        ];
        for (end, expected) in contents {
            let target = match query {
                "" => format!("{path}/{end}"),
                query => format!("{path}/{end}?{query}"),
            };
            let host: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
            let reply = http::send(cache.address(), "GET", &target, &host);
            let what = format!("{client}: {target}");
            if let To::Status(status) = to {
                assert_eq!(reply.status, *status, "{what}");
                let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
                assert!(body["errors"][0]["code"].is_string(), "{what}: {body}");
                continue;
            }
            assert_eq!(reply.status, 200, "{what}");
            assert!(reply.body == expected, "{what}");
            assert_eq!(reply.header("oci-namespace"), ns, "{what}");
        }
    }
    // By any name, content is fetched once.
    for registry in [&hub, &quay] {
        let requests = registry.requests();
        let blobs = requests.count(|it| it.method == "GET" && it.path().contains("/blobs/"));
        assert_eq!(blobs, 1, "{:?}", requests.lines());
    }
}
