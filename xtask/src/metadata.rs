//! What `cargo metadata` says about our packages and their dependencies.

use std::collections::BTreeMap;
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
    /// The oldest compiler that it promises to build with.
    pub(crate) rust_version: Option<String>,
    /// The features it declares, without `default`.
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a package's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether only tests, examples and benches use it.
    pub(crate) dev: bool,
}

/// A package of ours or of others, as the lock file resolves it with all features on all platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rust_version: Option<String>,
    /// Whether it is a member of the workspace that may be published.
    pub(crate) published: bool,
    /// The ids of its normal and build dependencies.
    pub(crate) dependencies: Vec<String>,
}

/// Loads the packages of the workspace, without resolving and so without a network.
///
/// # Errors
///
/// Cargo refused a manifest, or its answer does not have the documented shape.
pub(crate) fn load(checkout: &Checkout, log: &mut Log) -> Result<Vec<Package>, String> {
    let words = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    parse(&log.output(&mut checkout.cargo(words))?)
}

/// Loads the packages that the lock file resolves, by their ids.
///
/// # Errors
///
/// As for [`load`], or a package cannot be downloaded.
pub(crate) fn resolve(
    checkout: &Checkout,
    log: &mut Log,
) -> Result<BTreeMap<String, Resolved>, String> {
    let words = ["metadata", "--format-version", "1", "--all-features"];
    let mut command = checkout.cargo(words.into_iter().chain(["--locked"]));
    parse_graph(&log.output(&mut command)?)
}

fn parse(json: &str) -> Result<Vec<Package>, String> {
    list(&read(json)?, "packages")?
        .iter()
        .map(package)
        .collect()
}

fn parse_graph(json: &str) -> Result<BTreeMap<String, Resolved>, String> {
    let value = read(json)?;
    let members = list(&value, "workspace_members")?;
    let mut graph = BTreeMap::new();
    for package in list(&value, "packages")? {
        let id = text(package, "id")?;
        let is_ours = members.iter().any(|member| member == id);
        let resolved = Resolved {
            name: text(package, "name")?.to_owned(),
            version: text(package, "version")?.to_owned(),
            rust_version: text(package, "rust_version").ok().map(str::to_owned),
            published: is_ours && package.get("publish").is_none_or(Value::is_null),
            dependencies: Vec::new(),
        };
        graph.insert(id.to_owned(), resolved);
    }
    let resolve = value.get("resolve").unwrap_or(&Value::Null);
    for node in list(resolve, "nodes")? {
        let package = graph
            .get_mut(text(node, "id")?)
            .ok_or("cargo metadata: a node without its package")?;
        for dependency in list(node, "deps")? {
            let mut kinds = list(dependency, "dep_kinds")?.iter();
            let is_dev = |kind: &Value| kind.get("kind").and_then(Value::as_str) == Some("dev");
            if !kinds.all(is_dev) {
                let id = text(dependency, "pkg")?;
                package.dependencies.push(id.to_owned());
            }
        }
    }
    Ok(graph)
}

fn read(json: &str) -> Result<Value, String> {
    serde_json::from_str(json).map_err(|error| format!("cargo metadata: {error}"))
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
    fn a_resolved_graph_has_what_is_compiled_and_who_is_published() {
        let graph = parse_graph(
            r#"{
                "packages": [
                    {"id": "a#1", "name": "a", "version": "1.0.0", "rust_version": "1.88",
                     "publish": null},
                    {"id": "b#1", "name": "b", "version": "2.0.0", "rust_version": null,
                     "publish": null},
                    {"id": "t#1", "name": "t", "version": "3.0.0", "publish": []}
                ],
                "workspace_members": ["a#1", "t#1"],
                "resolve": {"nodes": [
                    {"id": "a#1", "deps": [
                        {"pkg": "b#1", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                        {"pkg": "t#1", "dep_kinds": [{"kind": "dev"}]}
                    ]},
                    {"id": "b#1", "deps": []},
                    {"id": "t#1", "deps": [{"pkg": "b#1", "dep_kinds": [{"kind": "build"}]}]}
                ]}
            }"#,
        )
        .unwrap();
        let package = |name: &str, version: &str, published, dependencies: &[&str]| Resolved {
            name: name.to_owned(),
            version: version.to_owned(),
            rust_version: (name == "a").then(|| "1.88".to_owned()),
            published,
            dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(),
        };
        assert_eq!(
            graph,
            BTreeMap::from([
                ("a#1".to_owned(), package("a", "1.0.0", true, &["b#1"])),
                ("b#1".to_owned(), package("b", "2.0.0", false, &[])),
                ("t#1".to_owned(), package("t", "3.0.0", false, &["b#1"])),
            ])
        );
    }

    #[test]
    fn another_shape_is_an_error() {
        assert_eq!(parse("{}").unwrap_err(), "cargo metadata: no list packages");
        let error = parse_graph(r#"{"workspace_members": []}"#).unwrap_err();
        assert_eq!(error, "cargo metadata: no list packages");
    }
}
