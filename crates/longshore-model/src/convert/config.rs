//! Image configurations.

use oci_spec::image as spec;

use super::{ConversionError, architecture, some, sorted, unsorted};
use crate::config::{History, ImageConfig, LAYERS, RootFs, RuntimeConfig};
use crate::digest::Digest;

impl TryFrom<spec::ImageConfiguration> for ImageConfig {
    type Error = ConversionError;

    fn try_from(from: spec::ImageConfiguration) -> Result<Self, ConversionError> {
        if from.rootfs().typ() != LAYERS {
            return Err(ConversionError::RootFs);
        }
        let diff_ids = from.rootfs().diff_ids().iter().map(|digest| digest.parse());
        let history = from.history().clone().unwrap_or_default();
        Ok(Self {
            created: from.created().clone(),
            author: from.author().clone(),
            architecture: from.architecture().to_string(),
            variant: from.variant().clone(),
            os: from.os().to_string(),
            os_version: from.os_version().clone(),
            os_features: from.os_features().clone().unwrap_or_default(),
            config: from.config().as_ref().map(RuntimeConfig::from),
            rootfs: RootFs {
                diff_ids: diff_ids.collect::<Result<_, _>>()?,
            },
            history: history.iter().map(History::from).collect(),
        })
    }
}

/// Loses, of what to run, `ArgsEscaped`, `Healthcheck`, `OnBuild`, `Shell` and
/// `StopTimeout`, and whether a list, map or flag was absent or empty but for `Entrypoint` and
/// `Cmd`.
impl From<ImageConfig> for spec::ImageConfiguration {
    fn from(from: ImageConfig) -> Self {
        let mut rootfs = spec::RootFs::default();
        let text = |digest: &Digest| digest.as_str().to_owned();
        rootfs.set_diff_ids(from.rootfs.diff_ids.iter().map(text).collect());
        let mut config = Self::default();
        config
            .set_created(from.created)
            .set_author(from.author)
            .set_architecture(architecture(&from.architecture))
            .set_variant(from.variant)
            .set_os(from.os.as_str().into())
            .set_os_version(from.os_version)
            .set_os_features(some(from.os_features))
            .set_config(from.config.map(Into::into))
            .set_rootfs(rootfs)
            .set_history(some(from.history.into_iter().map(Into::into).collect()));
        config
    }
}

impl From<&spec::Config> for RuntimeConfig {
    fn from(from: &spec::Config) -> Self {
        let names = |names: &Option<Vec<String>>| {
            let names = names.clone().unwrap_or_default();
            names.into_iter().collect()
        };
        Self {
            user: from.user().clone(),
            exposed_ports: names(from.exposed_ports()),
            env: from.env().clone().unwrap_or_default(),
            entrypoint: from.entrypoint().clone(),
            cmd: from.cmd().clone(),
            volumes: names(from.volumes()),
            working_dir: from.working_dir().clone(),
            labels: sorted(from.labels()),
            stop_signal: from.stop_signal().clone(),
            ..Self::default()
        }
    }
}

/// Loses what [`ImageConfiguration`](spec::ImageConfiguration) loses of it.
impl From<RuntimeConfig> for spec::Config {
    fn from(from: RuntimeConfig) -> Self {
        let mut config = Self::default();
        config
            .set_user(from.user)
            .set_exposed_ports(some(from.exposed_ports.into_iter().collect()))
            .set_env(some(from.env))
            .set_entrypoint(from.entrypoint)
            .set_cmd(from.cmd)
            .set_volumes(some(from.volumes.into_iter().collect()))
            .set_working_dir(from.working_dir)
            .set_labels(unsorted(from.labels))
            .set_stop_signal(from.stop_signal);
        config
    }
}

impl From<&spec::History> for History {
    fn from(from: &spec::History) -> Self {
        Self {
            created: from.created().clone(),
            created_by: from.created_by().clone(),
            author: from.author().clone(),
            comment: from.comment().clone(),
            empty_layer: from.empty_layer().unwrap_or_default(),
        }
    }
}

/// Loses whether the flag was absent or unset.
impl From<History> for spec::History {
    fn from(from: History) -> Self {
        let mut history = Self::default();
        history
            .set_created(from.created)
            .set_created_by(from.created_by)
            .set_author(from.author)
            .set_comment(from.comment)
            .set_empty_layer(from.empty_layer.then_some(true));
        history
    }
}
