//! What `cargo metadata` says of our own packages.

use std::path::PathBuf;

use serde_json::Value;

use crate::checkout::Checkout;
use crate::log::Log;

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The directory of its manifest.
    pub(crate) directory: PathBuf,
    /// The compiler it promises to build with.
    pub(crate) rust_version: Option<String>,
    /// The features it declares, without `default`.
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a package's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether it is in the tree for tests, examples and benches only.
    pub(crate) dev: bool,
}

/// Loads the packages of the workspace, without resolving and so without a network.
///
/// # Errors
///
/// Cargo refused a manifest, or its answer has another shape than the one documented.
pub(crate) fn load(checkout: &Checkout, log: &mut Log) -> Result<Vec<Package>, String> {
    let words = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    parse(&log.output(&mut checkout.cargo(words))?)
}

fn parse(json: &str) -> Result<Vec<Package>, String> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| format!("cargo metadata: {error}"))?;
    list(&value, "packages")?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package, String> {
    let manifest = PathBuf::from(text(value, "manifest_path")?);
    let features = value.get("features").and_then(Value::as_object);
    Ok(Package {
        name: text(value, "name")?.to_owned(),
        directory: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        rust_version: text(value, "rust_version").ok().map(str::to_owned),
        features: features
            .into_iter()
            .flat_map(|features| features.keys())
            .filter(|feature| *feature != "default")
            .cloned()
            .collect(),
        dependencies: list(value, "dependencies")?
            .iter()
            .map(dependency)
            .collect::<Result<_, _>>()?,
    })
}

fn dependency(value: &Value) -> Result<Dependency, String> {
    Ok(Dependency {
        name: text(value, "name")?.to_owned(),
        dev: value.get("kind").and_then(Value::as_str) == Some("dev"),
    })
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], String> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| format!("cargo metadata: no list {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("cargo metadata: no text {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_and_dev_dependencies_are_told_apart() {
        let packages = parse(
            r#"{"packages": [{
                "name": "a", "manifest_path": "/x/a/Cargo.toml", "rust_version": "1.95",
                "features": {"default": ["f"], "f": []},
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]
            }]}"#,
        )
        .unwrap();
        let [package] = packages.as_slice() else {
            panic!("{packages:?}")
        };
        assert_eq!(package.name, "a");
        assert_eq!(package.directory, PathBuf::from("/x/a"));
        assert_eq!(package.features, ["f"]);
        let kinds: Vec<_> = package
            .dependencies
            .iter()
            .map(|d| (d.name.as_str(), d.dev))
            .collect();
        assert_eq!(kinds, [("b", false), ("c", true)]);
    }

    #[test]
    fn another_shape_is_an_error() {
        assert_eq!(parse("{}").unwrap_err(), "cargo metadata: no list packages");
    }
}
