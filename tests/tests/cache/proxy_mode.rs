//! Five faults of docker-registry as a cache (`proxy.remoteurl`), measured, and their absence here.

use std::io::Read as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use longshore_testkit::Gate;
use longshore_testkit::image;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};
use longshore_tests::http;

use super::*;

/// Both caches of one registry.
struct Both {
    docker: DockerRegistry,
    ours: Serve,
}

impl Both {
    fn of(upstream: &Registry) -> Option<Self> {
        let docker = DockerRegistry::builder()
            .proxy_of(&upstream.url())
            .start()?;
        let ours = Serve::of_hub(&upstream.url());
        Some(Self { docker, ours })
    }
}

/// An image of one layer of this many bytes, and the path of the layer.
fn large(bytes: u64) -> (Tree, String) {
    let tree = Image::new(7).layers(1, bytes).build();
    let [_, layer] = tree.blobs() else {
        unreachable!("the image has a config and a layer")
    };
    let path = format!("/v2/library/app/blobs/{}", layer.descriptor.digest);
    (tree, path)
}

fn blob_gets(upstream: &Registry) -> usize {
    let requests = upstream.requests_to(Part::Blob);
    requests.iter().filter(|it| it.method == "GET").count()
}

/// Waits until something is so.
#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        // Another process cannot be waited for any other way.
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn eight_cold_clients_cost_nine_transfers_there_and_one_here() {
    let (tree, path) = large(1_000_000);
    let upstream = kit("library/app", "1", &tree);
    let Some(both) = Both::of(&upstream) else {
        return;
    };
    for (address, expected) in [(both.docker.address(), 9), (both.ours.address(), 1)] {
        upstream.requests().clear();
        let gate = Gate::new();
        upstream.misbehave(Rule::on(
            Part::Blob,
            Misbehaviour::HoldAfter(500_000, gate.clone()),
        ));
        let lengths = eight_clients(address, &path, &gate);
        upstream.behave();
        assert_eq!(lengths, [tree.blobs()[1].content.length() as usize; 8]);
        wait_for("the last transfer", || blob_gets(&upstream) >= expected);
        assert_eq!(
            blob_gets(&upstream),
            expected,
            "{:?}",
            upstream.requests().lines()
        );
    }
}

/// Eight clients read the beginning of a blob; the gate opens once all have. Returns the lengths
/// of what they got.
fn eight_clients(address: SocketAddr, path: &str, gate: &Gate) -> Vec<usize> {
    let (begun, all) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let begun = begun.clone();
                scope.spawn(move || {
                    let mut stream = http::open(address, "GET", path, &[]).unwrap();
                    let mut answer = vec![0; 10_000];
                    stream.read_exact(&mut answer).unwrap();
                    begun.send(()).unwrap();
                    stream.read_to_end(&mut answer).unwrap();
                    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
                    answer.len() - end.unwrap() - 4
                })
            })
            .collect();
        assert_eq!(all.iter().take(8).count(), 8);
        gate.open();
        clients.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

#[test]
fn ten_bytes_fetch_the_whole_blob_there_and_a_part_here() {
    let (tree, path) = large(64 << 20);
    let upstream = kit("library/app", "1", &tree);
    let Some(both) = Both::of(&upstream) else {
        return;
    };
    let content = tree.blobs()[1].content.clone();
    let far = 40 << 20;
    let range = format!("bytes={far}-{}", far + 9);
    let ten = content.read_at(far, 10);
    // docker-registry answers once it has fetched everything.
    let reply = http::send(both.docker.address(), "GET", &path, &[("range", &range)]);
    let ranges = |upstream: &Registry| -> Vec<Option<String>> {
        let gets = upstream.requests_to(Part::Blob);
        let gets = gets.iter().filter(|it| it.method == "GET");
        gets.map(|it| it.header("range").map(str::to_owned))
            .collect()
    };
    assert!(
        ranges(&upstream).contains(&None),
        "{:?}",
        upstream.requests().lines()
    );
    assert_ne!((reply.status, reply.body.len()), (206, 10));
    upstream.requests().clear();
    let reply = http::send(both.ours.address(), "GET", &path, &[("range", &range)]);
    assert_eq!((reply.status, &reply.body[..]), (206, &ten[..]));
    assert_eq!(reply.header("longshore-verified"), Some("no"));
    assert!(
        ranges(&upstream).contains(&Some(range)),
        "{:?}",
        ranges(&upstream)
    );
}

#[test]
fn a_start_without_the_upstream_fails_there_and_serves_here() {
    let tree = image_of(3);
    let upstream = kit("library/app", "1", &tree);
    let url = upstream.url();
    let mut ours = Serve::of_hub(&url);
    let path = "/v2/library/app/manifests/1";
    let address = ours.address();
    assert_eq!(http::get(address, path).body, tree.document());
    drop(upstream);
    let Some(said) = DockerRegistry::builder().proxy_of(&url).fails() else {
        return;
    };
    assert!(said.contains("connection refused"), "{said}");
    ours.restart();
    let reply = http::get(address, path);
    assert_eq!((reply.status, &reply.body[..]), (200, &tree.document()[..]));
    let unknown = http::get(address, "/v2/library/other/manifests/1");
    assert_eq!(unknown.status, 503);
}

#[test]
fn referrers_are_not_found_there_and_found_here() {
    let tree = image::single(4);
    let signature = image::attached(5, &tree);
    let upstream = kit("library/app", "1", &tree);
    upstream.contents().attach("library/app", &signature);
    let Some(both) = Both::of(&upstream) else {
        return;
    };
    let path = format!("/v2/library/app/referrers/{}", tree.digest());
    assert_eq!(http::get(both.docker.address(), &path).status, 404);
    let reply = http::get(both.ours.address(), &path);
    assert_eq!(reply.status, 200);
    let index: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let digests: Vec<_> = index["manifests"].as_array().unwrap().iter().collect();
    assert_eq!(digests.len(), 1);
    assert_eq!(digests[0]["digest"], signature.digest().as_str());
}

#[test]
fn each_request_by_tag_asks_the_upstream_there_and_only_the_first_here() {
    let tree = image::single(6);
    let upstream = kit("library/app", "1", &tree);
    let Some(both) = Both::of(&upstream) else {
        return;
    };
    let path = "/v2/library/app/manifests/1";
    let asked = |address: SocketAddr| {
        let counts = (0..4).map(|_| {
            let before = upstream.requests().len();
            assert_eq!(http::get(address, path).body, tree.document());
            upstream.requests().len() - before
        });
        counts.collect::<Vec<_>>()
    };
    let there = asked(both.docker.address());
    assert!(there.iter().all(|count| *count > 0), "{there:?}");
    let here = asked(both.ours.address());
    assert!(here[0] > 0, "{here:?}");
    assert_eq!(here[1..], [0, 0, 0]);
}
