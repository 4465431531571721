//! Pulls an image into a directory as somebody would who has only the crate `oci-client`.
//!
//! The manifest and each blob become files there. Blobs are moved by the crate's own streaming
//! call into a tokio file, as many at once as the crate itself would move by default.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

const USAGE: &str = "rival-oci-client [--ca-file FILE] REF DIR   (plain http without --ca-file)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut config = ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    };
    if arguments.first().is_some_and(|first| first == "--ca-file") && arguments.len() > 1 {
        config.protocol = ClientProtocol::Https;
        config.extra_root_certificates = vec![Certificate {
            encoding: CertificateEncoding::Pem,
            data: fs::read(arguments.remove(1))?,
        }];
        arguments.remove(0);
    }
    let [reference, directory] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let reference = Reference::from_str(reference)?;
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;

    let at_once = config.max_concurrent_download;
    let client = Client::new(config);
    let (manifest, digest) = client
        .pull_image_manifest(&reference, &RegistryAuth::Anonymous)
        .await?;
    let blobs = manifest.layers.iter().chain([&manifest.config]);
    stream::iter(blobs)
        .map(|blob| pull(&client, &reference, blob, &directory))
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    fs::write(directory.join("manifest.json"), manifest.to_string())?;
    println!("{digest}");
    Ok(())
}

async fn pull(
    client: &Client,
    reference: &Reference,
    blob: &OciDescriptor,
    directory: &Path,
) -> Result<(), Box<dyn Error>> {
    let path = directory.join(blob.digest.replace(':', "-"));
    let file = tokio::fs::File::create(path).await?;
    Ok(client.pull_blob(reference, blob, file).await?)
}
