//! Image configs, as several commands show them.

use longshore::model::{ImageConfig, Platform};

/// Returns the platform that a config names. The config of a signature, for example, leaves it
/// empty.
pub(crate) fn platform(config: &ImageConfig) -> Option<Platform> {
    let platform = config.platform();
    let is_empty = platform.os.is_empty() && platform.architecture.is_empty();
    (!is_empty).then_some(platform)
}
