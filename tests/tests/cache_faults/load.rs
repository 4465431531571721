//! Many clients of one blob: those that leave, and those that are slow.

use std::fs;
use std::thread;

use longshore_testkit::Gate;
use longshore_testkit::registry::{Misbehaviour, Rule};
use longshore_tests::random::{Random, Told, seed};

use super::*;

#[test]
fn ca5_clients_that_leave_one_fill_at_random_do_not_disturb_the_others() {
    const SIZE: u64 = 2 << 20;
    const HELD: u64 = SIZE / 2;
    let seed = seed();
    let _told = Told::new(seed);
    let mut random = Random::new(seed);
    let scene = Scene::set();
    let large = add_blob(scene.registry.contents(), APP, BlobContent::random(5, SIZE));
    let digest = &large.descriptor.digest;
    let (path, gate, right) = (blob(APP, digest), Gate::new(), large.content.bytes());
    let hold = Misbehaviour::HoldAfter(HELD, gate.clone());
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, hold).path(digest.encoded()));
    // The last 64 KiB of what came may be held back.
    let there = HELD - (64 << 10);
    let clients: Vec<_> = (0..64)
        .map(|number| {
            let stays = number % 4 == 0;
            (stays, random.below(2) == 0, random.below(there) as usize)
        })
        .collect();
    let arrived = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for &(stays, early, bytes) in &clients {
            let (arrived, address, gate) = (&arrived, scene.address(), gate.clone());
            let (path, right) = (&path, &right);
            scope.spawn(move || {
                let mut reading = begin(address, "GET", path).unwrap();
                assert_eq!(reading.answer.status, 200);
                let had = reading.answer.body.len();
                reading.read(bytes.saturating_sub(had));
                assert!(reading.answer.body[..] == right[..reading.answer.body.len()]);
                arrived.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                if stays {
                    assert!(reading.finish().whole() == *right);
                } else if !early {
                    // Leaves while the rest comes.
                    wait_until("the rest comes", || gate.is_reached());
                    reading.read(bytes);
                }
            });
        }
        wait_until("all clients read", || {
            arrived.load(std::sync::atomic::Ordering::SeqCst) == clients.len()
        });
        gate.open();
    });
    assert_eq!(scene.asked(digest), 1);
    assert!(get(scene.address(), &path).whole() == right);
    assert_eq!(scene.asked(digest), 1);
}

#[test]
fn ca5_the_only_client_of_a_small_fill_leaves_and_the_fill_goes_on() {
    let scene = Scene::set();
    let large = add_blob(
        scene.registry.contents(),
        APP,
        BlobContent::random(6, 2 << 20),
    );
    let digest = &large.descriptor.digest;
    let gate = Gate::new();
    let hold = Misbehaviour::HoldAfter(1 << 20, gate.clone());
    scene.registry.misbehave(Rule::on(Part::Blob, hold));
    drop(begin(scene.address(), "GET", &blob(APP, digest)).unwrap());
    gate.open();
    let file = place::blob(&scene.serve.cache(), digest);
    wait_until("the blob is stored", || file.exists());
    assert!(get(scene.address(), &blob(APP, digest)).whole() == large.content.bytes());
    assert_eq!(scene.asked(digest), 1);
}

/// The most memory that a process has used, in KiB (`proc_pid_status(5)`).
fn peak_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|it| it.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

// In a release build this is the acceptance test itself: 64 clients read 1 GiB in 48 MiB. In a
// debug build the blob is smaller, and the bound is still less than the blob, or 1.5 MiB for each.
#[test]
fn ca5_memory_does_not_grow_with_the_blob_or_with_slow_clients() {
    let (mib, bound_mib) = if cfg!(debug_assertions) {
        (144, 96)
    } else {
        (1024, 48)
    };
    let mut scene = Scene::set();
    let content = repeated(mib << 20);
    let large = add_blob(scene.registry.contents(), APP, content);
    let digest = &large.descriptor.digest;
    let (address, path) = (scene.address(), blob(APP, digest));
    let readers = if cfg!(debug_assertions) { 4 } else { 64 };
    let slow: Vec<_> = (readers..64)
        .map(|_| {
            let mut reading = begin(address, "GET", &path).unwrap();
            reading.read(10_000);
            reading
        })
        .collect();
    thread::scope(|scope| {
        for _ in 0..readers {
            let reading = begin(address, "GET", &path).unwrap();
            scope.spawn(move || assert_eq!(reading.count(), mib << 20));
        }
    });
    assert_eq!(scene.asked(digest), 1);
    let peak = peak_kib(scene.serve.process().id());
    drop(slow);
    assert!(peak <= bound_mib * 1024, "{peak} KiB");
}
