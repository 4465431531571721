//! A disk without room, and a budget smaller than what is pulled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use longshore_tests::disk::SmallDisk;

use super::*;

/// Where the listener for operators is, as the cache says.
fn admin(serve: &Serve) -> SocketAddr {
    let said = serve.said();
    let (_, rest) = said.split_once("health and metrics: http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn ca9_without_room_on_the_disk_content_passes_through_and_hits_go_on() {
    let Some(disk) = SmallDisk::mount(2048) else {
        return;
    };
    let cache = disk.path().join("c");
    let scene = Scene::with(
        |registry| registry,
        |serve| {
            let serve = serve.cache(&cache).args(["--size=1GiB"]);
            serve.args(["--admin-listen=127.0.0.1:0"])
        },
    );
    scene.pull();
    scene.wait_stored();
    let ready = get(admin(&scene.serve), "/readyz");
    assert_eq!(ready.status, 200);
    assert!(String::from_utf8_lossy(&ready.body).contains("\"degraded\":false"));

    let contents = scene.registry.contents();
    for seed in 0..3 {
        let large = add_blob(contents, APP, BlobContent::random(seed, 4 << 20));
        let path = blob(APP, &large.descriptor.digest);
        assert!(get(scene.address(), &path).whole() == large.content.bytes());
    }
    let ready = String::from_utf8(get(admin(&scene.serve), "/readyz").body).unwrap();
    assert!(ready.contains("\"degraded\":true"), "{ready}");

    let before = scene.asked(&scene.layer().descriptor.digest);
    scene.pull();
    assert_eq!(scene.asked(&scene.layer().descriptor.digest), before);
    place::assert_whole(&cache);

    let said = scene.serve.said();
    let about_disk = said.lines().filter(|line| {
        line.contains(" WARN ") && (line.contains("write") || line.contains("disk"))
    });
    assert_eq!(about_disk.count(), 1, "{said}");
}

#[test]
fn ca9_a_limit_on_the_size_of_files_is_a_write_error() {
    // 512 blocks of 1 KiB or less, depending on the shell.
    let scene = Scene::with(|registry| registry, |serve| serve.limits("ulimit -f 512"));
    let contents = scene.registry.contents();
    let large = add_blob(contents, APP, BlobContent::random(1, 4 << 20));
    let path = blob(APP, &large.descriptor.digest);
    for _ in 0..2 {
        assert!(get(scene.address(), &path).whole() == large.content.bytes());
    }
}

#[test]
fn a_log_that_nobody_reads_stops_no_request() {
    let scene = Scene::with(
        |registry| registry,
        |serve| {
            // The other end of the pipe is open and never read.
            let unread = "mkfifo unread && exec 3<>unread 2>unread";
            serve
                .limits(unread)
                .env("LONGSHORE_SERVE_LOG_LEVEL", "trace")
        },
    );
    let path = blob(APP, &scene.layer().descriptor.digest);
    // Each request writes more than 100 bytes; a pipe holds 64 KiB.
    for _ in 0..1500 {
        assert_eq!(get(scene.address(), &path).status, 200);
    }
}

#[test]
fn ca9_the_byte_budget_is_never_exceeded_and_pulls_go_on() {
    const LIMIT: u64 = 2 << 20;
    let scene = Scene::with(
        |registry| registry,
        |serve| serve.args([format!("--size={LIMIT}")]),
    );
    let contents = scene.registry.contents();
    let random = (0..8).map(|seed| BlobContent::random(seed, 700_000 + seed * 10_000));
    let mut blobs: Vec<_> = random.map(|it| add_blob(contents, APP, it)).collect();
    // This one never fits.
    blobs.push(add_blob(contents, APP, BlobContent::random(9, LIMIT + 1)));
    let (cache, done, most) = (
        scene.serve.cache(),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let bytes = place::content_bytes(&cache);
                most.fetch_max(bytes, Ordering::Relaxed);
            }
        });
        thread::scope(|clients| {
            for client in 0..3 {
                let (scene, blobs) = (&scene, &blobs);
                clients.spawn(move || {
                    for number in 0..blobs.len() {
                        let large = &blobs[(number + client * 3) % blobs.len()];
                        let path = blob(APP, &large.descriptor.digest);
                        let body = get(scene.address(), &path).whole();
                        assert!(body == large.content.bytes());
                    }
                });
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let most = most.into_inner();
    assert!(most > LIMIT / 4 && most <= LIMIT, "{most}");
    scene.pull();
    let stored = place::assert_whole(&cache);
    assert!(
        stored.len() < blobs.len(),
        "nothing was evicted: {stored:?}"
    );
}
