//! Processes that die while they write.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use longshore_store::Writer;

use super::*;

/// How many layers there are to write, of how many bytes.
const LAYERS: u64 = 4;
const LAYER_SIZE: usize = 400_000;

fn layer(n: u64) -> (Descriptor, Vec<u8>) {
    let mut random = Random(n + 1);
    let content: Vec<u8> = (0..LAYER_SIZE / 8)
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    (Descriptor::of(MediaType::OCI_LAYER, &content), content)
}

/// Numbers without a pattern, the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Writes on to `content`, in pieces, to its end or not that far.
fn go_on(writer: &mut Writer, content: &[u8], random: &mut Random) {
    let from = usize::try_from(writer.position()).unwrap();
    let piece = 1 + random.below(20_000) as usize;
    let pieces = random.below(40) as usize;
    for piece in content[from..].chunks(piece).take(pieces) {
        writer.write(piece).unwrap();
    }
}

/// The other half of the next test: does all that is done to a layout, in turns.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os("LONGSHORE_TEST_KILLED_IN") else {
        return;
    };
    let seed = std::env::var("LONGSHORE_TEST_SEED").unwrap();
    let mut random = Random(seed.parse().unwrap());
    let layers: Vec<_> = (0..LAYERS).map(layer).collect();
    println!("begun");
    loop {
        let layout = Layout::create_or_open_with(Path::new(&path), Durability::None).unwrap();
        let store = layout.store();
        for _ in 0..random.below(10) {
            println!("goes on");
            let (descriptor, content) = &layers[random.below(LAYERS) as usize];
            if !store.reuse(&descriptor.digest, descriptor.size).unwrap() {
                let mut writer = store.resume(&descriptor.digest, descriptor.size).unwrap();
                go_on(&mut writer, content, &mut random);
                if writer.position() < descriptor.size {
                    match random.below(4) {
                        0 => writer.discard(),
                        1 => writer.keep().unwrap(),
                        _ => drop(writer),
                    }
                    continue;
                }
                writer.commit().unwrap();
            }
            let name = format!("v{}", random.below(6));
            let config = format!(r#"{{"name":"{name}"}}"#);
            let config = lookup::put(&layout, MediaType::OCI_CONFIG, config);
            let image = longshore_model::ImageManifest::new(config, vec![descriptor.clone()]);
            let at = lookup::write(&layout, &Document::Image(image));
            layout.tag(&name, at.clone()).unwrap();
            match random.below(6) {
                0 => layout.remove(&name).unwrap(),
                1 => assert!(layout.delete(&at.digest).unwrap() >= 1),
                // Now and then, so that there is something to write again. Nobody writes beside
                // this child, so what nothing refers to may go.
                2 => clear(&layout),
                _ => {}
            }
        }
    }
}

/// Takes all names away, and then all blobs.
fn clear(layout: &Layout) {
    for (name, _) in layout.tags().unwrap() {
        layout.remove(&name).unwrap();
    }
    for digest in layout.store().list().unwrap() {
        layout.store().delete(&digest.unwrap()).unwrap();
    }
}

// RT9: the layout is valid at every moment, whichever process is killed.
#[test]
fn rt9_a_process_killed_at_any_moment_leaves_a_valid_layout() {
    let parent = parent();
    let path = parent.path().join("images");
    let mut random = Random(0x5eed);
    let (mut images, mut partials) = (0, 0);
    // As many more as it takes to have seen both: how far a child gets is the machine's affair.
    for round in 0..600 {
        if round >= 60 && images > 0 && partials > 0 {
            break;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("layout::tests::killed::child_that_is_killed")
            .env("LONGSHORE_TEST_KILLED_IN", &path)
            .env(
                "LONGSHORE_TEST_SEED",
                (1 + random.below(1 << 32)).to_string(),
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("begun")));
        // On a busy machine the child might get nowhere otherwise.
        for _ in 0..random.below(20) {
            lines.next().unwrap().unwrap();
        }
        // Reads beside the writer, a while that differs from round to round; then it dies.
        for _ in 0..random.below(100) {
            match Layout::open(&path) {
                Ok(layout) => drop(layout.tags().unwrap()),
                // Not made yet; but never half made.
                Err(error) => assert_eq!(error.kind(), LayoutErrorKind::NotALayout, "{error}"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let Ok(layout) = Layout::open(&path) else {
            continue;
        };
        let report = layout.verify(|_| ()).unwrap();
        assert!(report.is_sound(), "{report:?}");
        images += report.manifests;
        layout.store().clear_leftovers().unwrap();
        partials += layout.store().partials().unwrap().count();
    }
    // Else this has shown nothing.
    assert!(images > 0, "{images} images, {partials} partial blobs seen");
    assert!(
        partials > 0,
        "{images} images, {partials} partial blobs seen"
    );

    let layout = Layout::create_or_open(&path).unwrap();
    for (descriptor, content) in (0..LAYERS).map(layer) {
        let mut writer = layout
            .store()
            .resume(&descriptor.digest, descriptor.size)
            .unwrap();
        let from = usize::try_from(writer.position()).unwrap();
        writer.write(&content[from..]).unwrap();
        writer.commit().unwrap();
    }
    assert!(layout.verify(|_| ()).unwrap().is_sound());
    drop(layout);
    check_names(&path, &["blobs", "index.json", "oci-layout"]);
}
