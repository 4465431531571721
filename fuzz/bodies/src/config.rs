//! Image configurations: what the view says is what the bytes say.

use longshore_model::{Digest, ImageConfig, JSON_DEPTH_LIMIT, VALUES_LIMIT};
use serde_json::Value;

use crate::json;
use crate::shown::is_plain;

/// Reads the bytes as the configuration of an image.
///
/// # Panics
///
/// When the view differs from what a plain JSON reader finds, when it reads differently after
/// having been written, when a limit is passed, when the steps of its history do not account for
/// its layers, or when an error is no line to show.
pub fn config(data: &[u8]) {
    let config = match ImageConfig::parse(data) {
        Ok(config) => config,
        Err(error) => return is_plain(&error),
    };
    let Some(plain) = json::strict(data) else {
        panic!("DG5: not JSON, or a key is there twice")
    };
    keeps_the_limits(data, &config);
    agrees(&config, &plain);
    accounts_for_its_layers(&config);
    // A fraction may lose its last digit; in all else writing and reading are inverse.
    if !json::has_fraction(&plain) {
        let written = match serde_json::to_vec(&config) {
            Ok(written) => written,
            Err(error) => panic!("what was read cannot be written: {error}"),
        };
        assert_eq!(ImageConfig::parse(&written).as_ref(), Ok(&config));
    }
}

/// LI
fn keeps_the_limits(data: &[u8], config: &ImageConfig) {
    let depth = json::depth(data);
    assert!(depth < JSON_DEPTH_LIMIT, "LI: {depth} deep");
    let counts = [
        config.rootfs.diff_ids.len(),
        config.history.len(),
        config.os_features.len(),
        config.config.as_ref().map_or(0, |run| run.env.len()),
    ];
    assert!(counts.iter().sum::<usize>() <= VALUES_LIMIT, "LI");
}

fn agrees(config: &ImageConfig, plain: &Value) {
    let text = |key: &str| plain.get(key).and_then(Value::as_str);
    assert_eq!(text("os"), Some(&*config.os));
    assert_eq!(text("architecture"), Some(&*config.architecture));
    assert_eq!(text("variant"), config.variant.as_deref());
    assert_eq!(text("os.version"), config.os_version.as_deref());
    assert_eq!(text("created"), config.created.as_deref());
    assert_eq!(text("author"), config.author.as_deref());
    let platform = config.platform();
    assert_eq!(platform.os, config.os);
    assert_eq!(platform.architecture, config.architecture);
    assert_eq!(platform.variant, config.variant);
    assert_eq!(platform.os_version, config.os_version);
    let rootfs = plain.get("rootfs");
    let kind = rootfs.and_then(|rootfs| rootfs.get("type"));
    assert_eq!(kind.and_then(Value::as_str), Some("layers"));
    let layers = list(rootfs.and_then(|rootfs| rootfs.get("diff_ids")));
    let layers: Vec<_> = layers.iter().filter_map(Value::as_str).collect();
    let found: Vec<_> = config.rootfs.diff_ids.iter().map(Digest::as_str).collect();
    assert_eq!(layers, found);
    assert_eq!(list(plain.get("history")).len(), config.history.len());
    let run = plain.get("config").filter(|run| !run.is_null());
    assert_eq!(run.is_some(), config.config.is_some());
    let env = list(run.and_then(|run| run.get("Env")));
    let env: Vec<_> = env.iter().filter_map(Value::as_str).collect();
    let found = config.config.as_ref().map(|run| run.env.as_slice());
    assert_eq!(env, found.unwrap_or_default());
}

fn list(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Each layer is made by one step, in order, where the history says anything of them at all.
fn accounts_for_its_layers(config: &ImageConfig) {
    let all = 0..config.rootfs.diff_ids.len();
    let made = config.history.iter().filter(|step| !step.empty_layer);
    let Some(steps) = config.steps() else {
        assert_ne!(made.count(), all.len());
        return;
    };
    let steps: Vec<_> = steps.collect();
    assert_eq!(steps.len(), config.history.len());
    for ((step, layer), entry) in steps.iter().zip(&config.history) {
        assert_eq!(*step, entry);
        assert_eq!(layer.is_none(), entry.empty_layer);
    }
    let layers = steps.iter().filter_map(|(_, layer)| *layer);
    assert!(layers.eq(all));
}
