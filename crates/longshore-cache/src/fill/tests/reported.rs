use std::sync::Mutex;

use longshore_transport::TestClock;

use super::*;

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Observer for Kept {
    fn event(&self, event: &Event<'_>) {
        let text = match event {
            Event::FillStarted { .. } => "started".to_owned(),
            Event::FillJoined { upstream, .. } => format!("joined {upstream}"),
            Event::FillEnded { bytes, end, .. } => format!("ended {bytes} {}", end.as_str()),
            Event::StoreDegraded(is_degraded) => format!("degraded {is_degraded}"),
            other => panic!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

#[tokio::test]
async fn an_observer_is_told_of_transfers_and_of_a_store_that_fails() {
    let (clock, kept) = (TestClock::default(), Arc::new(Kept::default()));
    let memory = Arc::new(MemoryStore::with_limit_bytes(MIB));
    let store = BoundedStore::builder(memory, ROOM).clock(Arc::new(clock.clone()));
    let fills = Fills::builder(store.open().unwrap(), Arc::new(clock.clone()))
        .observer(Arc::clone(&kept) as Arc<dyn Observer>)
        .build();
    for (size, fails_at) in [(2 * MIB, None), (100, None), (MIB / 2, Some(99))] {
        let content = content(size as usize);
        let digest = Digest::sha256(&content);
        let mut source = TestSource::open(content);
        if let Some(position) = fails_at {
            source = source.failing_at(position, UNAVAILABLE);
        }
        let first = fills.begin(key(&digest), source.clone(), Some(size));
        let second = fills.begin(key(&digest), source, Some(size));
        let (first, second) = (first.reader(0..size), second.reader(0..size));
        let _ = tokio::join!(read(first), read(second));
        // After a failure the store is not used for some time.
        clock.advance(Duration::from_secs(60));
        fills
            .pool()
            .count
            .subscribe()
            .wait_for(|count| *count == 0)
            .await
            .unwrap();
    }
    let expected = [
        "joined registry.example",
        "started",
        "degraded true",
        "ended 2097152 verified",
        "joined registry.example",
        "started",
        "degraded false",
        "ended 100 verified",
        "joined registry.example",
        "started",
        "ended 99 upstream",
    ];
    assert_eq!(*kept.0.lock().unwrap(), expected);
}
