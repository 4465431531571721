//! A pull that is dropped together with its runtime. Alone in its program, because it counts the
//! panics of all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore::Client;
use longshore_copy::{LayoutEntry, PullOptions, pull};
use longshore_layout::Layout;
use longshore_model::Reference;
use longshore_testkit::Gate;
use longshore_testkit::image::Image;
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};

// RT9: every operation may be dropped. The threads of the pull wait for sockets and timers of the
// runtime, and must not touch them once it is gone.
#[test]
fn rt9_no_thread_of_a_dropped_pull_outlives_the_runtime_and_panics() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, report) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::SeqCst);
        report(panic);
    }));
    // Large blobs on threads of their own, and small ones that share two.
    for (layers, bytes) in [(4, 2 << 20), (60, 2000)] {
        let place = tempfile::tempdir().unwrap();
        let tree = Image::new(bytes).layers(layers, bytes).build();
        let gate = Gate::new();
        let hold = Misbehaviour::HoldAfter(1000, gate.clone());
        let registry = Registry::builder()
            .image("a", "1", &tree)
            .misbehave(Rule::on(Part::Blob, hold))
            .start()
            .unwrap();
        let reference: Reference = format!("{}/a:1", registry.authority()).parse().unwrap();
        let layout = place.path().join("layout");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = Client::builder().build().unwrap();
            let repository = client.repository(&reference).await.unwrap();
            let entry = LayoutEntry::new(&layout).named("1");
            let options = PullOptions::default();
            let target = reference.target();
            let pulling = pull(&repository, &target, entry, &options);
            let reached = async {
                while !gate.is_reached() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                result = pulling => panic!("it ended: {result:?}"),
                () = reached => {}
            }
        });
        drop(runtime);
        gate.open();
        let layout = Layout::open(&layout).unwrap();
        assert_eq!(layout.entries().unwrap(), []);
        assert!(layout.verify(|_| ()).unwrap().is_sound());
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
