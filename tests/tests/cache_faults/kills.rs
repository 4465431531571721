//! `kill -9` of a cache, and what its next process makes of the directory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use longshore_testkit::Gate;
use longshore_testkit::registry::{Misbehaviour, Rule};
use longshore_tests::random::{Random, Told, kills, seed};

use super::*;

/// Clients that pull all the time.
const CLIENTS: u64 = 4;

/// A cache of this size holds the images of the test.
const SIZE_BYTES: u64 = 16 << 20;

/// Two images: one of large layers, one of many small ones.
fn trees(seed: u64) -> [(&'static str, Tree); 2] {
    [
        ("large", Image::new(seed).layers(2, 1_500_000).build()),
        ("small", Image::new(seed ^ 1).layers(10, 700).build()),
    ]
}

/// Pulls one image until the cache is gone. Whatever comes complete is right.
fn pull_until(address: SocketAddr, mut random: Random, gone: &AtomicBool, trees: &[(&str, Tree)]) {
    while !gone.load(Ordering::Relaxed) {
        let (tag, tree) = &trees[random.below(trees.len() as u64) as usize];
        let mut wanted = vec![(manifest(APP, tag), tree.document())];
        for stored in tree.all_blobs() {
            let path = blob(APP, &stored.descriptor.digest);
            let place = random.below(wanted.len() as u64 + 1) as usize;
            wanted.insert(place, (path, stored.content.bytes()));
        }
        for (path, right) in wanted {
            let Some(reading) = begin(address, "GET", &path) else {
                break;
            };
            let answer = reading.finish();
            if answer.status == 200 && answer.is_complete() {
                assert!(answer.body == right, "{path}");
            }
        }
    }
}

// The budget is that of content: records are small files beside it.
#[track_caller]
fn assert_valid(serve: &Serve) {
    let cache = serve.cache();
    place::assert_whole(&cache);
    let bytes = place::content_bytes(&cache);
    assert!(bytes <= SIZE_BYTES, "{bytes}");
}

/// The files that are neither blobs nor records: what is written now or was left behind.
fn others(serve: &Serve) -> Vec<PathBuf> {
    let cache = serve.cache().join("cache");
    let known = ["blobs", "records"].map(|name| cache.join(name));
    let all = place::files(&cache).into_keys();
    all.filter(|path| !known.iter().any(|it| path.starts_with(it)))
        .collect()
}

#[test]
fn ca2_a_cache_killed_under_load_has_only_whole_blobs_and_goes_on() {
    let seed = seed();
    let _told = Told::new(seed);
    let mut random = Random::new(seed);
    let trees = trees(seed);
    let registry = Registry::builder().start().unwrap();
    for (tag, tree) in &trees {
        registry.contents().add(APP, tag, tree);
    }
    let place = tempfile::tempdir().unwrap();
    for round in 0..kills() {
        // A new directory from time to time: a cache that has everything writes nothing.
        let cache = place.path().join((round / 3).to_string());
        let settings = Serve::builder().upstream("docker.io", &registry.url());
        let settings = settings
            .cache(&cache)
            .args([format!("--size={SIZE_BYTES}")]);
        let mut serve = settings.env("LONGSHORE_SERVE_TAG_TTL", "1ms").start();
        assert_valid(&serve);
        let left = others(&serve);
        assert!(left.len() <= 2 + 2 * CLIENTS as usize, "{left:#?}");
        let (address, gone) = (serve.address(), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let random = Random::new(random.next());
                let (gone, trees) = (&gone, &trees);
                scope.spawn(move || pull_until(address, random, gone, trees));
            }
            thread::sleep(random.duration(Duration::from_millis(300)));
            serve.process().kill();
            gone.store(true, Ordering::Relaxed);
        });
        assert_valid(&serve);
        if round % 3 == 2 || round + 1 == kills() {
            serve.restart();
            for (tag, tree) in &trees {
                pull(serve.address(), APP, tag, tree);
            }
            assert_valid(&serve);
        }
    }
}

#[test]
fn ca2_a_fill_of_a_killed_process_is_resumed() {
    const HELD: u64 = 3 << 20;
    let mut scene = Scene::set();
    let large = add_blob(
        scene.registry.contents(),
        APP,
        BlobContent::random(3, 5 << 20),
    );
    let digest = &large.descriptor.digest;
    let (path, gate) = (blob(APP, digest), Gate::new());
    let hold = Misbehaviour::HoldAfter(HELD, gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, hold).path(digest.encoded()).times(1));
    let reading = begin(scene.address(), "GET", &path).unwrap();
    let cache = scene.serve.cache();
    wait_until("what came is written", || {
        place::content_bytes(&cache) >= HELD
    });
    scene.serve.process().kill();
    gate.open();
    assert!(!reading.finish().is_complete());
    assert_eq!(place::assert_whole(&cache), [""; 0]);

    scene.serve.restart();
    scene.registry.requests().clear();
    let body = get(scene.address(), &path).whole();
    assert!(body == large.content.bytes());
    let mut requests = scene.registry.requests_to(Part::Blob);
    // The held request of the dead process may be counted late.
    requests.retain(|it| it.method == "GET" && it.connection > 1);
    let ranges: Vec<_> = requests.iter().map(|it| it.header("range")).collect();
    assert_eq!(ranges, [Some(&*format!("bytes={HELD}-"))]);
    let file = place::blob(&cache, digest);
    wait_until("the blob is stored", || file.exists());
    assert_eq!(place::content_bytes(&cache), large.descriptor.size);
}

#[test]
fn ca12_a_second_process_waits_for_the_directory_and_says_who_has_it() {
    let first = Scene::set();
    first.pull();
    let second = Serve::builder().upstream("docker.io", &first.registry.url());
    let second = second.cache(&first.serve.cache());
    let second = second.env("LONGSHORE_SERVE_STORE_LOCK_WAIT", "100ms");
    let said = second.fails();
    assert!(said.contains("(longshore) holds"), "{said}");
    assert!(said.contains("stop that process"), "{said}");
    // Nothing of the first one is harmed.
    first.pull();
}

#[test]
fn ca8_a_cache_starts_without_its_upstream_and_answers_what_it_has() {
    let place = tempfile::tempdir().unwrap();
    let tree;
    let url;
    {
        let mut scene = Scene::with(|it| it, |serve| serve.cache(place.path()));
        scene.pull();
        // Records are written in the background; this signal waits for them.
        scene.serve.process().signal("TERM");
        assert_eq!(scene.serve.process().end().code(), Some(0));
        tree = scene.tree.clone();
        url = scene.registry.url();
    }
    let settings = Serve::builder()
        .upstream("docker.io", &url)
        .cache(place.path());
    let serve = settings.env("LONGSHORE_SERVE_TAG_TTL", "1ms").start();
    pull(serve.address(), APP, "1", &tree);
    let absent = Digest::sha256(b"absent");
    let answer = get(serve.address(), &blob(APP, &absent));
    assert!(
        [502, 503, 504].contains(&answer.status),
        "{}",
        answer.status
    );
    let answer = get(serve.address(), &manifest(APP, "2"));
    assert!(
        [502, 503, 504].contains(&answer.status),
        "{}",
        answer.status
    );
}
