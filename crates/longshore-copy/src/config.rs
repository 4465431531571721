//! Image configs: fetching one, and the platform it names.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use longshore::Repository;
use longshore_model::{CONFIG_LIMIT_BYTES, Descriptor, ImageConfig, ImageManifest, Platform};

use crate::end::End;
use crate::error::TransferError;
use crate::plan::PlannedBlob;

/// Fetches a config, verified (DG3: digest and length must both match). A config that is embedded
/// in its descriptor is not requested.
///
/// # Errors
///
/// [`TransferError::Registry`], also when the config has more than [`CONFIG_LIMIT_BYTES`] (LI1:
/// documents have a limit).
pub async fn fetch_config(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Bytes, TransferError> {
    // Embedded bytes that do not match say nothing about the blob in the registry.
    if let Ok(Some(bytes)) = descriptor.embedded() {
        return Ok(bytes);
    }
    let reader = repository.blob(&descriptor.digest, Some(descriptor.size))?;
    Ok(reader.bytes(CONFIG_LIMIT_BYTES as u64).await?)
}

/// Checks that an image with this config runs on a platform. An image that is in no index has no
/// other source for its platform.
///
/// # Errors
///
/// [`TransferError::OtherPlatform`].
pub fn check_config_platform(config: &ImageConfig, wanted: &Platform) -> Result<(), TransferError> {
    let found = config.platform();
    if wanted.fits(&found).is_some() {
        return Ok(());
    }
    Err(TransferError::OtherPlatform {
        wanted: Box::new(wanted.clone()),
        found: Box::new(found),
    })
}

/// Reads the config of an image and checks its platform. A config that is not an image config names
/// no platform, so the image is accepted.
pub(crate) async fn check_image_platform(
    source: &dyn End,
    image: &ImageManifest,
    wanted: &Platform,
) -> Result<(), TransferError> {
    let descriptor = &image.config;
    if !descriptor.media_type.is_config() {
        return Ok(());
    }
    match ImageConfig::parse(&read_config(source, descriptor).await?) {
        Ok(config) => check_config_platform(&config, wanted),
        Err(_) => Ok(()),
    }
}

/// Reads a config from an end, verified (DG3).
async fn read_config(source: &dyn End, descriptor: &Descriptor) -> Result<Bytes, TransferError> {
    if let Some(repository) = source.repository() {
        return fetch_config(repository, descriptor).await;
    }
    let size = descriptor.size;
    if size > CONFIG_LIMIT_BYTES as u64 {
        let limit = CONFIG_LIMIT_BYTES as u64;
        return Err(TransferError::ConfigTooLarge { limit });
    }
    let blob = PlannedBlob {
        digest: descriptor.digest.clone(),
        size,
    };
    let content = source.content(&blob)?;
    let mut frames = content.open(0).await.map_err(TransferError::of_content)?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
        bytes.extend_from_slice(&frame.map_err(TransferError::of_content)?);
    }
    let verified = descriptor.verifier().map(|mut verifier| {
        verifier.update(&bytes)?;
        verifier.finish()
    });
    match verified {
        Ok(Ok(())) => Ok(bytes.freeze()),
        _ => Err(TransferError::Damaged {
            end: source.name(),
            digest: descriptor.digest.clone(),
        }),
    }
}
