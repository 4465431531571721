//! What it takes to read text and documents, in time for one value.
//!
//! Run with `cargo bench -p longshore-model`; `-- --quick` is enough to compare two states of the
//! code. `serde_json_value` reads the same bytes without a question about what they mean; with
//! `--features oci-spec` the types of that crate read the same text in the same run.
//!
//! | group | one iteration |
//! | --- | --- |
//! | `reference` | one reference, read into a value of its own and dropped |
//! | `digest` | one SHA-256 digest, read and dropped |
//! | `manifest` | 200 layers: `view` reads the document, `digest` hashes it, `parse` does both |
//! | `index` | 20 platforms with annotations: `view` as above |

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longshore_model::{
    Descriptor, Digest, Document, ImageManifest, Index, Manifest, MediaType, Platform, Reference,
    annotation,
};

fn reference(c: &mut Criterion) {
    let mut group = c.benchmark_group("reference");
    for (name, text) in [("short", SHORT), ("136_bytes", LONG)] {
        group.bench_function(name, |b| {
            b.iter(|| Reference::parse(black_box(text)).unwrap());
        });
    }
    #[cfg(feature = "oci-spec")]
    for (name, text) in [("short_oci_spec", SHORT), ("136_bytes_oci_spec", LONG)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                black_box(text)
                    .parse::<oci_spec::distribution::Reference>()
                    .unwrap()
            });
        });
    }
    group.finish();
    let digest = LONG.split_once('@').unwrap().1;
    c.bench_function("digest/sha256", |b| {
        b.iter(|| black_box(digest).parse::<Digest>().unwrap());
    });
}

fn documents(c: &mut Criterion) {
    for (name, bytes) in [("manifest", manifest()), ("index", index())] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("view", |b| {
            b.iter(|| Document::parse(black_box(&bytes), None).unwrap());
        });
        group.bench_function("digest", |b| {
            b.iter(|| Digest::sha256(black_box(&bytes)));
        });
        group.bench_function("parse", |b| {
            b.iter(|| Manifest::parse(black_box(&bytes).clone(), None).unwrap());
        });
        others(&mut group, &bytes);
        group.finish();
    }
}

criterion_group!(benches, reference, documents);
criterion_main!(benches);

/// The same bytes through readers that check less.
fn others(group: &mut Group<'_>, bytes: &[u8]) {
    group.bench_function("serde_json_value", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(bytes)).unwrap());
    });
    #[cfg(feature = "oci-spec")]
    group.bench_function("oci_spec", |b| {
        use oci_spec::image::{ImageIndex, ImageManifest};
        if Document::parse(bytes, None).unwrap().as_index().is_some() {
            b.iter(|| serde_json::from_slice::<ImageIndex>(black_box(bytes)).unwrap());
        } else {
            b.iter(|| serde_json::from_slice::<ImageManifest>(black_box(bytes)).unwrap());
        }
    });
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

const SHORT: &str = "alpine:3.20";
const LONG: &str = "registry.example.com:5000/platform-team/backend/orders-api:v1.24\
                    @sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270";

fn manifest() -> Bytes {
    let layers = (0..200_u32).map(|layer| {
        let mut layer = Descriptor::of(MediaType::OCI_LAYER_GZIP, &layer.to_le_bytes());
        layer.size += 65_536;
        layer
    });
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    written(Document::Image(ImageManifest::new(
        config,
        layers.collect(),
    )))
}

fn index() -> Bytes {
    let entries = (0..20_u32).map(|number| {
        let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, &number.to_le_bytes());
        let mut platform = Platform::new("linux", "arm");
        platform.variant = Some(format!("v{number}"));
        entry.platform = Some(Box::new(platform));
        for key in [annotation::REVISION, annotation::VERSION] {
            entry.annotations.insert(key.to_owned(), number.to_string());
        }
        entry
    });
    written(Document::Index(Index::new(entries.collect())))
}

fn written(document: Document) -> Bytes {
    Manifest::from_document(&document).unwrap().bytes().clone()
}
