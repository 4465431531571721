//! The summary for programs. README lists the fields, and a test compares them.
//!
//! It borrows from what was read, because that may be large (LI2).

use std::collections::{BTreeMap, BTreeSet};

use longshore::model::{
    Descriptor, Digest, Document, ImageConfig, ImageManifest, Index, MediaType, Platform,
    Reference, RuntimeConfig, Tag,
};
use serde::Serialize;

use super::content::{self, Content};
use super::{Summary, annotations};
use crate::referrer;

/// The fields of an image, an index or an artifact.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    reference: &'a Reference,
    digest: &'a Digest,
    media_type: &'a MediaType,
    artifact_type: Option<&'a MediaType>,
    size: u64,
    total_size: Option<u64>,
    index: Option<&'a Digest>,
    subject: Option<&'a Digest>,
    platform: Option<String>,
    created: Option<&'a str>,
    annotations: &'a Annotations,
    platforms: Vec<ShownPlatform<'a>>,
    attestations: Vec<ShownAttestation<'a>>,
    config: Option<ShownDescriptor<'a>>,
    runtime: Option<ShownRuntime<'a>>,
    layers: Vec<ShownLayer<'a>>,
    referrers_from: Option<&'static str>,
    referrers: Vec<referrer::Shown<'a>>,
    more_referrers: bool,
    cosign: Vec<ShownCosign<'a>>,
    problems: &'a [String],
}

type Annotations = BTreeMap<String, String>;

#[derive(Serialize)]
struct ShownDescriptor<'a> {
    digest: &'a Digest,
    media_type: &'a MediaType,
    size: u64,
}

#[derive(Serialize)]
struct ShownPlatform<'a> {
    platform: Option<String>,
    os_version: Option<&'a str>,
    #[serde(flatten)]
    descriptor: ShownDescriptor<'a>,
    total_size: Option<u64>,
}

#[derive(Serialize)]
struct ShownAttestation<'a> {
    #[serde(flatten)]
    descriptor: ShownDescriptor<'a>,
    r#type: Option<&'a String>,
    subject: Option<&'a String>,
}

#[derive(Serialize)]
struct ShownLayer<'a> {
    #[serde(flatten)]
    descriptor: ShownDescriptor<'a>,
    created_by: Option<&'a str>,
    annotations: &'a Annotations,
}

#[derive(Serialize)]
struct ShownRuntime<'a> {
    author: Option<&'a String>,
    user: Option<&'a String>,
    working_dir: Option<&'a String>,
    entrypoint: Option<&'a [String]>,
    cmd: Option<&'a [String]>,
    env: &'a [String],
    ports: Option<&'a BTreeSet<String>>,
    volumes: Option<&'a BTreeSet<String>>,
    stop_signal: Option<&'a String>,
    labels: Option<&'a Annotations>,
}

#[derive(Serialize)]
struct ShownCosign<'a> {
    kind: &'static str,
    tag: &'a Tag,
    digest: Option<&'a Digest>,
}

impl Summary {
    pub(super) fn json(&self) -> Shown<'_> {
        let document = self.manifest.document();
        let size = self.manifest.bytes().len() as u64;
        let image = document.as_image();
        let config = self.content.config();
        let referrers = self.attached.referrers.as_ref();
        let (platforms, attestations) = match (document, &self.content) {
            (Document::Index(index), Content::Index { sizes }) => entries(index, sizes),
            _ => Default::default(),
        };
        Shown {
            reference: &self.reference,
            digest: self.manifest.digest(),
            media_type: self.manifest.media_type(),
            artifact_type: document.artifact_type(),
            size,
            total_size: image.map(|image| content::total(size, image)),
            index: self.index.as_ref(),
            subject: document.subject().map(|subject| &subject.digest),
            platform: self.content.platform().map(|it| it.to_string()),
            created: self.created(),
            annotations: annotations(document),
            platforms,
            attestations,
            config: image.map(|image| described(&image.config)),
            runtime: config.map(runtime),
            layers: image.map_or_else(Vec::new, |image| layers(image, config)),
            referrers_from: referrers.and_then(|it| referrer::source_name(it.source)),
            referrers: referrer::Shown::all(referrers.map_or(&[], |it| &it.referrers), false),
            more_referrers: referrers.is_some_and(|it| it.more),
            cosign: self.cosign(),
            problems: self.problems.texts(),
        }
    }

    fn cosign(&self) -> Vec<ShownCosign<'_>> {
        let shown = self.attached.cosign.iter().map(|it| ShownCosign {
            kind: it.kind,
            tag: &it.tag,
            digest: it.digest.as_ref(),
        });
        shown.collect()
    }
}

/// Returns the images of an index and the attestations about them.
fn entries<'a>(
    index: &'a Index,
    sizes: &[Option<u64>],
) -> (Vec<ShownPlatform<'a>>, Vec<ShownAttestation<'a>>) {
    let (mut platforms, mut attestations) = (Vec::new(), Vec::new());
    for (entry, size) in index.manifests.iter().zip(sizes) {
        let descriptor = described(entry);
        if content::is_attestation(entry) {
            attestations.push(ShownAttestation {
                descriptor,
                r#type: entry.annotations.get(content::REFERENCE_TYPE),
                subject: entry.annotations.get(content::REFERENCE_DIGEST),
            });
        } else {
            let platform = content::platform(entry);
            platforms.push(ShownPlatform {
                platform: platform.map(Platform::to_string),
                os_version: platform.and_then(|platform| platform.os_version.as_deref()),
                descriptor,
                total_size: *size,
            });
        }
    }
    (platforms, attestations)
}

fn described(descriptor: &Descriptor) -> ShownDescriptor<'_> {
    ShownDescriptor {
        digest: &descriptor.digest,
        media_type: &descriptor.media_type,
        size: descriptor.size,
    }
}

fn runtime(config: &ImageConfig) -> ShownRuntime<'_> {
    let runtime = config.config.as_ref();
    let text = |field: fn(&RuntimeConfig) -> &Option<String>| field(runtime?).as_ref();
    ShownRuntime {
        author: config.author.as_ref(),
        user: text(|it| &it.user),
        working_dir: text(|it| &it.working_dir),
        entrypoint: runtime.and_then(|it| it.entrypoint.as_deref()),
        cmd: runtime.and_then(|it| it.cmd.as_deref()),
        env: runtime.map_or(&[], |it| &it.env),
        ports: runtime.map(|it| &it.exposed_ports),
        volumes: runtime.map(|it| &it.volumes),
        stop_signal: text(|it| &it.stop_signal),
        labels: runtime.map(|it| &it.labels),
    }
}

fn layers<'a>(image: &'a ImageManifest, config: Option<&'a ImageConfig>) -> Vec<ShownLayer<'a>> {
    let steps = content::steps(image, config);
    let layers = image.layers.iter().zip(steps);
    let shown = layers.map(|(layer, step)| ShownLayer {
        descriptor: described(layer),
        created_by: step,
        annotations: &layer.annotations,
    });
    shown.collect()
}
