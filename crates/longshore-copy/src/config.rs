//! Image configs: fetching one, and the platform it names.

use bytes::Bytes;
use longshore::Repository;
use longshore_model::{CONFIG_LIMIT_BYTES, Descriptor, ImageConfig, ImageManifest, Platform};

use crate::error::TransferError;

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

/// Fetches the config of an image and checks its platform. A config that is not an image config
/// names no platform, so the image is accepted.
pub(crate) async fn check_image_platform(
    repository: &Repository,
    image: &ImageManifest,
    wanted: &Platform,
) -> Result<(), TransferError> {
    let descriptor = &image.config;
    if !descriptor.media_type.is_config() {
        return Ok(());
    }
    match ImageConfig::parse(&fetch_config(repository, descriptor).await?) {
        Ok(config) => check_config_platform(&config, wanted),
        Err(_) => Ok(()),
    }
}
