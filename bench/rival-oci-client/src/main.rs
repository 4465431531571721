//! Moves images as somebody would who has only the crate `oci-client`.
//!
//! Blobs are moved by the crate's own streaming calls, as many at once as the crate itself would
//! move by default. A pull makes the manifest and each blob a file; a push reads the same files
//! from a layout; a copy sends what it receives, and mounts blobs within one registry.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

const USAGE: &str = "\
rival-oci-client [--ca-file FILE] pull REF DIR
rival-oci-client [--ca-file FILE] push DIR REF
rival-oci-client [--ca-file FILE] copy REF REF…
(plain http without --ca-file)";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 * 1024;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut config = ClientConfig {
        protocol: ClientProtocol::Http,
        // One PUT costs less than many PATCHes.
        use_monolithic_push: true,
        ..ClientConfig::default()
    };
    if words.first().is_some_and(|first| first == "--ca-file") && words.len() > 1 {
        config.protocol = ClientProtocol::Https;
        config.extra_root_certificates = vec![Certificate {
            encoding: CertificateEncoding::Pem,
            data: fs::read(words.remove(1))?,
        }];
        words.remove(0);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let program = Program {
        downloads: config.max_concurrent_download,
        uploads: config.max_concurrent_upload,
        client: Client::new(config),
    };
    match words.as_slice() {
        ["pull", from, directory] => {
            let from = Reference::from_str(from)?;
            program.pull(&from, Path::new(directory)).await
        }
        ["push", directory, to] => {
            let to = Reference::from_str(to)?;
            program.push(Path::new(directory), &to).await
        }
        ["copy", from, destinations @ ..] if !destinations.is_empty() => {
            let from = Reference::from_str(from)?;
            for to in destinations {
                program.copy(&from, &Reference::from_str(to)?).await?;
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

struct Program {
    client: Client,
    downloads: usize,
    uploads: usize,
}

impl Program {
    async fn pull(&self, from: &Reference, directory: &Path) -> Outcome {
        fs::create_dir_all(directory)?;
        let (manifest, digest) = self
            .client
            .pull_image_manifest(from, &RegistryAuth::Anonymous)
            .await?;
        let pull = async |blob: &OciDescriptor| -> Outcome {
            let path = directory.join(blob.digest.replace(':', "-"));
            let file = File::create(path).await?;
            Ok(self.client.pull_blob(from, blob, file).await?)
        };
        stream::iter(blobs(&manifest))
            .map(pull)
            .buffer_unordered(self.downloads)
            .try_collect::<Vec<()>>()
            .await?;
        fs::write(directory.join("manifest.json"), manifest.to_string())?;
        println!("{digest}");
        Ok(())
    }

    async fn push(&self, directory: &Path, to: &Reference) -> Outcome {
        self.authenticate(to).await;
        let index = fs::read_to_string(directory.join("index.json"))?;
        let digest = index.split("\"digest\":\"").nth(1);
        let digest = digest.and_then(|rest| rest.split('"').next());
        let file = |digest: &str| directory.join("blobs").join(digest.replace(':', "/"));
        let raw = fs::read(file(digest.ok_or("no digest in the index")?))?;
        let manifest: OciImageManifest = serde_json::from_slice(&raw)?;
        let push = async |blob: &OciDescriptor| -> Outcome {
            let content = content(File::open(file(&blob.digest)).await?, &blob.digest);
            self.send(to, blob, content).await
        };
        stream::iter(blobs(&manifest))
            .map(push)
            .buffer_unordered(self.uploads)
            .try_collect::<Vec<()>>()
            .await?;
        self.send_manifest(to, raw).await
    }

    async fn copy(&self, from: &Reference, to: &Reference) -> Outcome {
        let (raw, _) = self
            .client
            .pull_manifest_raw(from, &RegistryAuth::Anonymous, &[MANIFEST_TYPE])
            .await?;
        self.authenticate(to).await;
        let manifest: OciImageManifest = serde_json::from_slice(&raw)?;
        let is_mount = from.registry() == to.registry();
        let copy = async |blob: &OciDescriptor| -> Outcome {
            if is_mount {
                return Ok(self.client.mount_blob(to, from, &blob.digest).await?);
            }
            let content = self.client.pull_blob_stream(from, blob).await?;
            self.send(to, blob, content.map_err(OciDistributionError::IoError))
                .await
        };
        stream::iter(blobs(&manifest))
            .map(copy)
            .buffer_unordered(self.uploads)
            .try_collect::<Vec<()>>()
            .await?;
        self.send_manifest(to, raw.to_vec()).await
    }

    /// As the crate's own `push` does first.
    async fn authenticate(&self, to: &Reference) {
        self.client
            .store_auth_if_needed(to.resolve_registry(), &RegistryAuth::Anonymous)
            .await;
    }

    async fn send(
        &self,
        to: &Reference,
        blob: &OciDescriptor,
        content: impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static,
    ) -> Outcome {
        let size = u64::try_from(blob.size)?;
        let sent = self
            .client
            .push_blob_stream(to, content, &blob.digest, Some(size))
            .await?;
        drop(sent);
        Ok(())
    }

    async fn send_manifest(&self, to: &Reference, raw: Vec<u8>) -> Outcome {
        let content_type = MANIFEST_TYPE.parse()?;
        let sent = self.client.push_manifest_raw(to, raw, content_type).await?;
        println!("{sent}");
        Ok(())
    }
}

fn blobs(manifest: &OciImageManifest) -> impl Iterator<Item = &OciDescriptor> {
    manifest.layers.iter().chain([&manifest.config])
}

/// A file, hashed as it is read: the crate sends what it is given.
fn content(
    file: File,
    digest: &str,
) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + use<> {
    let digest = digest.to_owned();
    let start = (file, Sha256::new(), digest);
    stream::try_unfold(start, async |(mut file, mut hasher, digest)| {
        let mut piece = Vec::with_capacity(BUFFER_BYTES);
        file.read_buf(&mut piece).await?;
        if piece.is_empty() {
            let hash = hasher.finalize();
            let found: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            return match digest.strip_prefix("sha256:") == Some(&found) {
                true => Ok(None),
                false => Err(std::io::Error::other(format!("{digest}: {found}")).into()),
            };
        }
        hasher.update(&piece);
        Ok(Some((Bytes::from(piece), (file, hasher, digest))))
    })
}
