//! Random operations, alone and from several threads.

use super::stubborn::Stubborn;
use super::*;

const LIMIT: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u8),
    Begin(u8),
    Write(usize),
    End(u8),
    Get(u8),
    Release(usize),
    Reserve(u64),
    Free(usize),
    Remove(u8),
    Quarantine(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..12_u8;
    prop_oneof![
        3 => id.clone().prop_map(Step::Put),
        3 => id.clone().prop_map(Step::Begin),
        3 => (0..120_usize).prop_map(Step::Write),
        3 => (0..4_u8).prop_map(Step::End),
        3 => id.clone().prop_map(Step::Get),
        2 => (0..4_usize).prop_map(Step::Release),
        1 => (0..400_u64).prop_map(Step::Reserve),
        1 => (0..4_usize).prop_map(Step::Free),
        1 => id.clone().prop_map(Step::Remove),
        1 => id.prop_map(Step::Quarantine),
    ]
}

fn size_of_blob(id: u8) -> usize {
    usize::from(id) * 30
}

/// The state of one user of the store.
#[derive(Default)]
struct User {
    /// No user removes blobs explicitly.
    alone: bool,
    writer: Option<(u8, BoundedWriter)>,
    blobs: Vec<(u8, StoredBlob)>,
    reservations: Vec<Reservation>,
}

impl User {
    fn step(&mut self, store: &BoundedStore, step: Step) {
        let name = |id| digest(id, size_of_blob(id));
        match step {
            Step::Put(id) => {
                put(store, id, size_of_blob(id));
            }
            Step::Begin(id) => {
                let size = size_of_blob(id) as u64;
                self.writer = store.reserve(size).map(|reservation| {
                    let size = (id % 3 > 0).then_some(size);
                    (id, store.begin(&name(id), size, reservation).unwrap())
                });
            }
            Step::Write(count) => {
                if let Some((id, writer)) = &mut self.writer {
                    let rest = size_of_blob(*id) - usize::try_from(writer.position()).unwrap();
                    writer.write(&content(*id, count.min(rest))).unwrap();
                }
            }
            Step::End(how) => match (how, self.writer.take()) {
                (_, None) => {}
                (0, Some((_, writer))) => writer.keep().unwrap(),
                (1, Some((_, writer))) => writer.discard(),
                (2, Some((_, writer))) => drop(writer),
                (_, Some((id, mut writer))) => {
                    let rest = size_of_blob(id) - usize::try_from(writer.position()).unwrap();
                    writer.write(&content(id, rest)).unwrap();
                    writer.commit().unwrap();
                }
            },
            Step::Get(id) => {
                let blob = store.get(&name(id)).unwrap();
                self.blobs.extend(blob.map(|blob| (id, blob)));
            }
            Step::Release(at) => {
                if at < self.blobs.len() {
                    let (id, blob) = self.blobs.remove(at);
                    assert!(
                        !self.alone || has(store, id, size_of_blob(id)),
                        "evicted in use"
                    );
                    assert_eq!(read(&blob), content(id, size_of_blob(id)));
                }
            }
            Step::Reserve(bytes) => self.reservations.extend(store.reserve(bytes)),
            Step::Free(at) => {
                if at < self.reservations.len() {
                    self.reservations.remove(at);
                }
            }
            Step::Remove(id) => store.remove(&name(id)),
            Step::Quarantine(id) => store.quarantine(&name(id)),
        }
    }
}

/// Returns the bytes of blobs and partial blobs on disk.
fn on_disk(disk: &dyn Store) -> u64 {
    let blobs = disk.list().unwrap().map(|digest| {
        let size = disk.size(&digest.unwrap()).unwrap();
        size.unwrap_or_default()
    });
    let partials = disk
        .partials()
        .unwrap()
        .map(|partial| partial.unwrap().size);
    blobs.sum::<u64>() + partials.sum::<u64>()
}

fn check(disk: &dyn Store, store: &BoundedStore, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let evicted = evictions(store);
    let mut user = User::default();
    for step in steps {
        locked(&evicted).clear();
        let in_use: Vec<Digest> = user
            .blobs
            .iter()
            .map(|(id, _)| digest(*id, size_of_blob(*id)))
            .collect();
        user.step(store, step);
        prop_assert!(store.used() <= LIMIT);
        prop_assert!(on_disk(disk) <= store.used());
        if !matches!(step, Step::Quarantine(_)) {
            let gone = locked(&evicted);
            prop_assert!(gone.iter().all(|(digest, _)| !in_use.contains(digest)));
        }
    }
    drop(user);
    prop_assert_eq!(on_disk(disk), store.used());
    let mut listed = disk.list().unwrap().flatten();
    prop_assert!(listed.all(|digest| store.size(&digest) == disk.size(&digest).unwrap()));
    prop_assert_eq!(disk.list().unwrap().count(), store.entries().count());
    Ok(())
}

proptest! {
    #[test]
    fn ca9_the_limit_is_never_exceeded(steps in vec(step(), 0..120)) {
        // A write fails if there are ever more bytes than the limit.
        let disk = MemoryStore::with_limit_bytes(LIMIT);
        let store = BoundedStore::open(Arc::new(disk.clone()), LIMIT).unwrap();
        check(&disk, &store, steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ca9_the_limit_is_never_exceeded_in_files(steps in vec(step(), 0..120)) {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(FsStore::open(root.path(), Durability::None).unwrap());
        let store = BoundedStore::open(Arc::<FsStore>::clone(&disk), LIMIT).unwrap();
        check(&*disk, &store, steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ca9_the_limit_holds_for_several_threads(
        all in vec(vec(step(), 0..120), 4),
        removes in any::<bool>(),
    ) {
        let disk = Stubborn::with_limit_bytes(LIMIT);
        let store = BoundedStore::open(Arc::new(disk.clone()), LIMIT).unwrap();
        let highest = AtomicU64::new(0);
        let kept = |step: &Step| removes || !matches!(step, Step::Remove(_) | Step::Quarantine(_));
        thread::scope(|scope| {
            for steps in &all {
                let (store, highest) = (&store, &highest);
                scope.spawn(move || {
                    let mut user = User {
                        alone: !removes,
                        ..User::default()
                    };
                    for step in steps.iter().filter(|step| kept(step)) {
                        user.step(store, *step);
                        highest.fetch_max(store.used(), Ordering::Relaxed);
                    }
                });
            }
        });
        prop_assert!(highest.into_inner() <= LIMIT);
        prop_assert_eq!(on_disk(&disk), store.used());
    }
}
