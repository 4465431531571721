//! The summary for programs. README lists the fields, and a test compares them.

use longshore::model::{
    Descriptor, Digest, Document, ImageConfig, ImageManifest, Index, MediaType, Platform,
};
use serde_json::{Value, json};

use super::content::{self, Content};
use super::{Summary, annotations};
use crate::referrer;

impl Summary {
    pub(super) fn json(&self) -> Value {
        let document = self.manifest.document();
        let size = self.manifest.bytes().len() as u64;
        let image = document.as_image();
        let config = self.content.config();
        let (platforms, attestations) = match (document, &self.content) {
            (Document::Index(index), Content::Index { sizes }) => entries(index, sizes),
            _ => Default::default(),
        };
        let subject = document.subject();
        json!({
            "reference": self.reference.to_string(),
            "digest": self.manifest.digest().to_string(),
            "media_type": self.manifest.media_type().as_str(),
            "artifact_type": document.artifact_type().map(MediaType::as_str),
            "size": size,
            "total_size": image.map(|image| content::total(size, image)),
            "index": self.index.as_ref().map(Digest::as_str),
            "subject": subject.map(|subject| subject.digest.as_str()),
            "platform": self.content.platform().map(|it| it.to_string()),
            "created": self.created(),
            "annotations": annotations(document),
            "platforms": platforms,
            "attestations": attestations,
            "config": image.map(|image| described(&image.config)),
            "runtime": config.map(runtime),
            "layers": image.map(|image| layers(image, config)).unwrap_or_default(),
            "referrers_from": referrer::source_name(self.attached.source),
            "referrers": self.attached.referrers.iter().map(referrer::json).collect::<Value>(),
            "more_referrers": self.attached.more,
            "cosign": self.attached.cosign.iter().map(|it| json!({
                "kind": it.kind,
                "tag": it.tag.as_str(),
                "digest": it.digest.as_ref().map(Digest::as_str),
            })).collect::<Value>(),
        })
    }
}

/// Returns the images of an index and the attestations about them.
fn entries(index: &Index, sizes: &[Option<u64>]) -> (Vec<Value>, Vec<Value>) {
    let (mut platforms, mut attestations) = (Vec::new(), Vec::new());
    for (entry, size) in index.manifests.iter().zip(sizes) {
        let mut value = described(entry);
        let Some(object) = value.as_object_mut() else {
            continue;
        };
        let mut add = |name: &str, value| object.insert(name.to_owned(), value);
        if content::is_attestation(entry) {
            let annotation = |key| json!(entry.annotations.get(key));
            add("type", annotation(content::REFERENCE_TYPE));
            add("subject", annotation(content::REFERENCE_DIGEST));
            attestations.push(value);
        } else {
            let platform = entry.platform.as_deref();
            let version = platform.and_then(|platform| platform.os_version.as_deref());
            add("platform", json!(platform.map(Platform::to_string)));
            add("os_version", json!(version));
            add("total_size", json!(size));
            platforms.push(value);
        }
    }
    (platforms, attestations)
}

fn described(descriptor: &Descriptor) -> Value {
    json!({
        "digest": descriptor.digest.as_str(),
        "media_type": descriptor.media_type.as_str(),
        "size": descriptor.size,
    })
}

fn runtime(config: &ImageConfig) -> Value {
    let runtime = config.config.clone().unwrap_or_default();
    json!({
        "author": config.author,
        "user": runtime.user,
        "working_dir": runtime.working_dir,
        "entrypoint": runtime.entrypoint,
        "cmd": runtime.cmd,
        "env": runtime.env,
        "ports": runtime.exposed_ports,
        "volumes": runtime.volumes,
        "stop_signal": runtime.stop_signal,
        "labels": runtime.labels,
    })
}

fn layers(image: &ImageManifest, config: Option<&ImageConfig>) -> Vec<Value> {
    let steps = content::steps(image, config);
    let layers = image.layers.iter().zip(steps);
    layers
        .map(|(layer, step)| {
            let mut value = described(layer);
            if let Some(object) = value.as_object_mut() {
                object.insert("created_by".to_owned(), json!(step));
                object.insert("annotations".to_owned(), json!(layer.annotations));
            }
            value
        })
        .collect()
}
