//! Verification of whole layouts.

use std::sync::Mutex;

use longshore_model::{ImageManifest, Index};

use super::lookup::{image_of, index_of, put, write};
use super::*;
use crate::report::{Finding, Problem, Progress, VerifyEvent};

/// A report with the findings.
#[derive(Debug)]
struct Report {
    totals: crate::report::Report,
    findings: Vec<Finding>,
}

impl std::ops::Deref for Report {
    type Target = crate::report::Report;

    fn deref(&self) -> &Self::Target {
        &self.totals
    }
}

fn verify(layout: &Layout) -> Report {
    let findings = Mutex::new(Vec::new());
    let layout = Layout::open(layout.path()).unwrap();
    let totals = layout
        .verify(|event| {
            if let VerifyEvent::Finding(finding) = event {
                findings.lock().unwrap().push(finding);
            }
        })
        .unwrap();
    let findings = findings.into_inner().unwrap();
    let count = |is: &dyn Fn(&Problem) -> bool| {
        let found = findings.iter().filter(|finding| is(&finding.problem));
        found.count() as u64
    };
    assert_eq!(totals.damaged, count(&Problem::is_damage));
    let absent = count(&|problem| matches!(problem, Problem::Absent));
    let unreadable = count(&|problem| matches!(problem, Problem::Unreadable(_)));
    assert_eq!((totals.absent, totals.unreadable), (absent, unreadable));
    Report { totals, findings }
}

/// What was found, in words: the digest's beginning, who refers to it, and what it is.
fn found(report: &Report) -> Vec<String> {
    let short = |digest: &Option<Digest>| match digest {
        Some(digest) => digest.short().to_owned(),
        None => "-".to_owned(),
    };
    let findings = report.findings.iter();
    let mut found: Vec<_> = findings
        .map(|finding| {
            let (digest, referrer) = (short(&finding.digest), short(&finding.referrer));
            format!("{digest} {referrer} {}", finding.problem)
        })
        .collect();
    found.sort();
    found
}

fn check_found(layout: &Layout, expected: &[(&Digest, Option<&Digest>, &str)]) -> Report {
    let report = verify(layout);
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(digest, referrer, what)| {
            let referrer = referrer.map_or("-", |digest| digest.short());
            format!("{} {referrer} {what}", digest.short())
        })
        .collect();
    expected.sort();
    assert_eq!(found(&report), expected);
    report
}

fn damage(layout: &Layout, digest: &Digest, content: &[u8]) {
    fs::write(layout.store().path(digest).unwrap(), content).unwrap();
}

#[test]
fn a_sound_layout_is_counted_to_the_byte() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (a, at_a) = image_of(&layout, "a");
    let (b, at_b) = image_of(&layout, "b");
    let index = index_of(&layout, "index", vec![at_a.clone(), at_b.clone()]);
    layout.tag("v1", index.clone()).unwrap();
    layout.tag("a", at_a.clone()).unwrap();
    layout.tag("also-a", at_a.clone()).unwrap();

    let last = Mutex::new(Progress::default());
    let report = layout
        .verify(|event| {
            let VerifyEvent::Progress(progress) = event else {
                panic!("{event:?}");
            };
            assert!(progress.blobs <= progress.known_blobs, "{progress:?}");
            assert!(progress.bytes <= progress.known_bytes, "{progress:?}");
            let mut last = last.lock().unwrap();
            last.bytes = last.bytes.max(progress.bytes);
            last.known_bytes = last.known_bytes.max(progress.known_bytes);
        })
        .unwrap();
    let content = [&a, &b].into_iter().flat_map(|image| &image.layers);
    let configs = [&a.config, &b.config, &at_a, &at_b, &index];
    let bytes: u64 = content.chain(configs).map(|blob| blob.size).sum();
    assert!(report.is_sound());
    assert_eq!(
        (report.manifests, report.blobs, report.bytes),
        (3, 7, bytes)
    );
    assert!(report.is_complete());
    let last = last.into_inner().unwrap();
    assert_eq!((last.bytes, last.known_bytes), (bytes, bytes));
}

#[test]
fn an_empty_layout_is_sound() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let report = check_found(&layout, &[]);
    assert!(report.is_sound());
    assert_eq!((report.manifests, report.blobs, report.bytes), (0, 0, 0));
}

// DG3: one verification reports every kind of damage.
#[test]
fn no_finding_ends_a_verification() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let seeds = ["sound", "changed", "short", "long", "gone", "pipe", "link"];
    let images: Vec<_> = seeds.iter().map(|seed| image_of(&layout, seed)).collect();
    let at = |n: usize| &images[n].1.digest;
    let layer = |n: usize| &images[n].0.layers[0].digest;
    let entries = images.iter().map(|(_, at)| at.clone()).collect();
    let index = index_of(&layout, "index", entries);
    layout.add(index).unwrap();

    let path = |digest| layout.store().path(digest).unwrap();
    damage(&layout, layer(1), b"chanGed");
    damage(&layout, layer(2), b"shor");
    damage(&layout, layer(3), b"longer");
    fs::remove_file(path(layer(4))).unwrap();
    fs::remove_file(path(layer(5))).unwrap();
    let made = Command::new("mkfifo").arg(path(layer(5))).status();
    assert!(made.unwrap().success());
    let outside = parent.path().join("outside");
    fs::write(&outside, "link").unwrap();
    fs::remove_file(path(layer(6))).unwrap();
    symlink(&outside, path(layer(6))).unwrap();
    let stray = put(&layout, MediaType::OCI_LAYER, "stray".to_owned());

    let what = "not what its descriptor says";
    let report = check_found(
        &layout,
        &[
            (layer(1), Some(at(1)), what),
            (layer(2), Some(at(2)), what),
            (layer(3), Some(at(3)), what),
            (layer(4), Some(at(4)), "absent"),
            (layer(5), Some(at(5)), "unreadable"),
            (layer(6), Some(at(6)), "unreadable"),
            (&stray.digest, None, "not referred to"),
        ],
    );
    assert!(!report.is_sound());
    assert_eq!((report.manifests, report.blobs), (8, 16));
    for finding in &report.findings {
        let expected = match &finding.problem {
            Problem::Corrupt(VerifyError::Digest { actual, .. }) => {
                *actual == Digest::sha256(b"chanGed")
            }
            Problem::Corrupt(VerifyError::TooShort { expected, actual }) => {
                (*expected, *actual) == (5, 4)
            }
            Problem::Corrupt(VerifyError::TooLong { expected }) => *expected == 4,
            Problem::Unreadable(error) => error.kind() == StoreErrorKind::Hostile,
            Problem::Unreferenced { size } => *size == 5,
            Problem::Absent => true,
            _ => false,
        };
        assert!(expected, "{finding:?}");
    }
}

#[test]
fn damage_to_a_manifest_is_told_with_what_it_leaves_behind() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (image, at) = image_of(&layout, "a");
    layout.add(at.clone()).unwrap();
    let (config, layer) = (&image.config.digest, &image.layers[0].digest);
    let left = |what| {
        [
            (&at.digest, None, what),
            (config, None, "not referred to"),
            (layer, None, "not referred to"),
        ]
    };
    let content = fs::read_to_string(layout.store().path(&at.digest).unwrap()).unwrap();
    damage(
        &layout,
        &at.digest,
        content.replace("schema", "scheme").as_bytes(),
    );
    let report = check_found(&layout, &left("not what its descriptor says"));
    assert!(!report.is_sound());
    layout.store().delete(&at.digest).unwrap();
    assert!(!check_found(&layout, &left("absent")).is_complete());
}

#[test]
fn a_document_is_what_its_descriptor_says_it_is() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    // DG5: an image under the type of an index; and text that is no manifest.
    let (image, mut at) = image_of(&layout, "a");
    at.media_type = MediaType::OCI_INDEX;
    let text = put(&layout, MediaType::OCI_MANIFEST, "text".to_owned());
    let entries = serde_json::to_string(&[&at, &text]).unwrap();
    let index = format!(r#"{{"schemaVersion":2,"manifests":{entries}}}"#);
    fs::write(layout.path().join(INDEX_FILE), index).unwrap();
    let report = check_found(
        &layout,
        &[
            (&at.digest, None, "not a manifest"),
            (&text.digest, None, "not a manifest"),
            (&image.config.digest, None, "not referred to"),
            (&image.layers[0].digest, None, "not referred to"),
        ],
    );
    assert!(!report.is_sound());
}

// An entry with an unknown media type is followed if its content can be read as a manifest.
#[test]
fn a_listed_type_that_is_not_known_is_no_damage() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let unknown: MediaType = "application/vnd.example.thing".parse().unwrap();
    let thing = put(&layout, unknown.clone(), "thing".to_owned());
    let (image, mut at) = image_of(&layout, "a");
    at.media_type = unknown.clone();
    let generic = put(&layout, MediaType::JSON, "{}".to_owned());
    let gone = Descriptor::of(unknown, b"gone");
    let entries = vec![thing, at, generic, gone.clone()];
    layout.add(index_of(&layout, "index", entries)).unwrap();
    let index = layout.entries().unwrap().remove(0).digest;
    let report = check_found(&layout, &[(&gone.digest, Some(&index), "absent")]);
    assert_eq!((report.manifests, report.blobs), (2, 6));
    damage(&layout, &image.layers[0].digest, b"b");
    let report = verify(&layout);
    assert_eq!(report.findings.len(), 2);
    assert_eq!(report.blobs, 5);
}

#[test]
fn what_may_be_elsewhere_need_not_be_here() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, _) = image_of(&layout, "a");
    let foreign = Descriptor::of(MediaType::OCI_LAYER_NONDISTRIBUTABLE, b"foreign");
    let mut linked = Descriptor::of(MediaType::OCI_LAYER, b"linked");
    linked.urls = vec!["https://example.com/linked".to_owned()];
    image.layers.extend([foreign.clone(), linked.clone()]);
    // A subject need not be there at all, nor is its absence worth a word.
    image.subject = Some(Descriptor::of(MediaType::OCI_MANIFEST, b"subject"));
    let at = write(&layout, &Document::Image(image));
    layout.add(at.clone()).unwrap();
    let unused = Digest::sha256(b"{}");
    assert_eq!(layout.find(&unused).unwrap(), None);
    let report = verify(&layout);
    assert!(report.is_sound(), "{report:?}");
    let what = "not in the layout, but elsewhere";
    for digest in [&foreign.digest, &linked.digest] {
        let expected = format!("{} {} {what}", digest.short(), at.digest.short());
        assert!(found(&report).contains(&expected), "{report:?}");
    }
    // If it is there, it is looked at.
    layout.store().put(&linked.digest, b"linked").unwrap();
    damage(&layout, &linked.digest, b"Linked");
    assert!(!verify(&layout).is_sound());
}

#[test]
fn a_subject_that_is_there_is_part_of_the_layout() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (subject, at_subject) = image_of(&layout, "subject");
    let mut referrer = image_of(&layout, "referrer").0;
    referrer.subject = Some(at_subject.clone());
    let at = write(&layout, &Document::Image(referrer));
    layout.add(at).unwrap();
    let report = verify(&layout);
    assert!(report.is_sound());
    assert_eq!((report.manifests, report.blobs), (2, 6));
    let layer = &subject.layers[0].digest;
    layout.store().delete(layer).unwrap();
    let report = verify(&layout);
    assert_eq!(report.absent, 1);
    // Listed as well, it is not looked at twice.
    layout.add(at_subject).unwrap();
    let report = verify(&layout);
    assert_eq!((report.manifests, report.blobs), (2, 5));
}

#[test]
fn dg1_what_cannot_be_hashed_is_told() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, _) = image_of(&layout, "a");
    let digest: Digest = "md4:31d6cfe0d16ae931b73c59d7e0c089c0".parse().unwrap();
    image.layers[0].digest = digest.clone();
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let digest = Digest::of(&algorithm, b"content").unwrap();
        layout.store().put(&digest, b"content").unwrap();
        image
            .layers
            .push(Descriptor::new(MediaType::OCI_LAYER, digest, 7));
    }
    let at = write(&layout, &Document::Image(image));
    layout.add(at.clone()).unwrap();
    let report = verify(&layout);
    assert!(!report.is_sound());
    assert_eq!(report.blobs, 4, "manifest, config, and two layers");
    let expected = format!("{} {} not verifiable", digest.short(), at.digest.short());
    assert!(found(&report).contains(&expected), "{report:?}");
}

#[test]
fn two_descriptors_cannot_both_be_right_about_one_size() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, _) = image_of(&layout, "a");
    let mut wrong = image.layers[0].clone();
    wrong.size += 1;
    image.layers.insert(0, wrong.clone());
    let at = write(&layout, &Document::Image(image));
    layout.add(at.clone()).unwrap();
    let report = verify(&layout);
    let expected = format!(
        "{} {} not what its descriptor says",
        wrong.digest.short(),
        at.digest.short()
    );
    assert!(found(&report).contains(&expected), "{report:?}");
    assert_eq!(report.blobs, 3);
}

// DG9, LI, from here on: what a layout says is not believed.

#[test]
fn li2_what_claims_to_be_huge_is_not_read() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, _) = image_of(&layout, "a");
    let mut vast = image.layers[0].clone();
    vast.digest = Digest::sha256(b"vast");
    vast.size = 1 << 62;
    layout.store().put(&vast.digest, b"vast").unwrap();
    image.layers.push(vast);
    let mut index = put(&layout, MediaType::OCI_INDEX, "index".to_owned());
    index.size = 1 << 40;
    let sparse = layout.store().path(&index.digest).unwrap();
    let open = || fs::OpenOptions::new().write(true).open(&sparse).unwrap();
    open().set_len(1 << 40).unwrap();
    let at = write(&layout, &Document::Image(image.clone()));
    let config = layout.store().path(&image.config.digest).unwrap();
    let file = fs::OpenOptions::new().write(true).open(config).unwrap();
    file.set_len(1 << 40).unwrap();
    layout
        .add(index_of(&layout, "top", vec![at, index]))
        .unwrap();
    // Each of these would take minutes.
    let most = Mutex::new(0);
    let report = layout
        .verify(|event| {
            if let VerifyEvent::Progress(progress) = event {
                *most.lock().unwrap() = progress.known_bytes;
            }
        })
        .unwrap();
    assert!(most.into_inner().unwrap() < 10_000);
    assert!(!report.is_sound());
    let report = verify(&layout);
    let mut problems: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.problem.to_string())
        .collect();
    problems.sort();
    assert_eq!(
        problems,
        [
            "a manifest of more than 8388608 bytes",
            "not referred to",
            "not what its descriptor says",
            "not what its descriptor says",
        ]
    );
}

#[test]
fn dg9_a_link_to_other_blobs_is_not_followed() {
    let outside = parent();
    let elsewhere = Layout::create_or_open(outside.path()).unwrap();
    let (_, at) = image_of(&elsewhere, "a");
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    image_of(&layout, "a");
    layout.add(at.clone()).unwrap();
    let blobs = parent.path().join("blobs/sha256");
    fs::remove_dir_all(&blobs).unwrap();
    symlink(outside.path().join("blobs/sha256"), &blobs).unwrap();
    let report = verify(&layout);
    assert!(!report.is_sound());
    // The image, and the directory as a whole, where nothing could be listed.
    let expected = format!("{} - unreadable", at.digest.short());
    assert_eq!(found(&report), ["- - unreadable".to_owned(), expected]);
}

// LI2: memory is not sized by the content of a layout; each finding is reported once, immediately.
#[test]
fn li2_findings_are_reported_at_once_and_each_blob_only_once() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let absent = |n: u32| Descriptor::of(MediaType::OCI_LAYER, &n.to_le_bytes());
    let (image, at) = image_of(&layout, "a");
    let mut entries = vec![at];
    for part in 0..2 {
        // Half of the second list is in the first.
        let layers = (part * 4_500..part * 4_500 + 9_000).map(absent).collect();
        let image = ImageManifest::new(image.config.clone(), layers);
        entries.push(write(&layout, &Document::Image(image)));
    }
    layout.add(index_of(&layout, "index", entries)).unwrap();
    let report = verify(&layout);
    assert_eq!(report.findings.len(), 13_500);
    assert_eq!((report.absent, report.damaged), (13_500, 0));
    assert!(report.is_sound() && !report.is_complete());
}

#[test]
fn a_sparse_layout_is_sound_but_not_complete() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (_, here) = image_of(&layout, "here");
    let elsewhere = Descriptor::of(MediaType::OCI_MANIFEST, b"not here");
    let entries = vec![here, elsewhere.clone()];
    let index = index_of(&layout, "index", entries);
    layout.add(index.clone()).unwrap();
    let report = check_found(
        &layout,
        &[(&elsewhere.digest, Some(&index.digest), "absent")],
    );
    assert!(report.is_sound() && !report.is_complete());
    assert_eq!((report.absent, report.damaged), (1, 0));
}

// RT11: a signal ends a verification within a moment, however large a blob is.
#[test]
fn rt11_an_interrupt_ends_a_verification() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, _) = image_of(&layout, "a");
    // A sparse file of a tebibyte, which takes many minutes to hash.
    let mut vast = image.layers[0].clone();
    vast.digest = Digest::sha256(b"vast");
    vast.size = 1 << 40;
    layout.store().put(&vast.digest, b"vast").unwrap();
    let path = layout.store().path(&vast.digest).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(1 << 40).unwrap();
    image.layers.push(vast);
    layout.add(write(&layout, &Document::Image(image))).unwrap();
    let interrupt = Interrupt::new();
    let layout = layout.with_interrupt(&interrupt);
    let error = layout
        .verify(|event| match event {
            VerifyEvent::Progress(progress) if progress.bytes > 1 << 20 => interrupt.set(),
            _ => {}
        })
        .unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Interrupted)
    );
}

#[test]
fn ou1_what_is_found_is_not_told_in_the_words_of_a_layout() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let evil = r#"{"schemaVersion":2,"\u001b[2J\u202e":1,"config":"\u001b[2J\u202e"}"#;
    let text = put(&layout, MediaType::OCI_MANIFEST, evil.to_owned());
    layout.add(text).unwrap();
    let report = verify(&layout);
    let mut said = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(&report.findings[0].problem);
    while let Some(cause) = source {
        said += &format!("{cause}: ");
        source = cause.source();
    }
    let raw = |character: char| character.is_control() || character == '\u{202e}';
    assert!(
        said.starts_with("not a manifest: ") && !said.contains(raw),
        "{said:?}"
    );
}

#[test]
fn verifying_changes_nothing() {
    let parent = parent();
    let path = parent.path().join("images");
    let layout = Layout::create_or_open(&path).unwrap();
    let index = Document::Index(Index::new(Vec::new()));
    layout.add(write(&layout, &index)).unwrap();
    drop(layout);
    fs::create_dir(path.join(PRIVATE_DIR)).unwrap();
    let before = names(&path);
    Layout::open(&path).unwrap().verify(|_| ()).unwrap();
    assert_eq!(names(&path), before);
    assert_eq!(names(&path.join(PRIVATE_DIR)).len(), 0);
}
