//! The fields of every JSON output, as README lists them.

use std::path::Path;

use super::*;

/// Every list of every command has something in it here.
#[test]
fn readme_lists_the_fields_that_are_printed() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let documented = documented(&fs::read_to_string(readme).unwrap());
    let printed = printed();
    let names: Vec<_> = printed.iter().map(|(name, _)| *name).collect();
    let documented_names: Vec<_> = documented.iter().map(|(name, _)| &**name).collect();
    assert_eq!(documented_names, names);
    for ((name, outputs), (_, documented)) in printed.iter().zip(&documented) {
        let mut found = BTreeSet::new();
        for output in outputs {
            collect(output, "", &mut found);
            // A field is always there, be it null or empty.
            let top: BTreeSet<_> = output.as_object().unwrap().keys().cloned().collect();
            let expected = documented.iter().filter(|path| !path.contains('.'));
            assert_eq!(top, expected.cloned().collect(), "{name}");
        }
        assert_eq!(found, *documented, "{name}");
    }
}

/// What each command prints, by its name, in the order of README.
fn printed() -> Vec<(&'static str, Vec<Value>)> {
    let tree = image::index(30, &["linux/s390x".parse().unwrap()]);
    let image = tree.child("linux/s390x").unwrap();
    let registry = Registry::builder().writable().start().unwrap();
    inspect::built(&registry, &tree);
    let name = registry.authority();
    let reference = reference(&registry);
    let (reference, name) = (&*reference, &*name);
    let platform = ["--platform", "linux/s390x"];
    let chosen = |command: &[&str]| told(&[command, &[reference], &platform].concat());
    // An artifact about the image, and one about that.
    let signature = image::attached(31, image);
    registry.contents().attach("a", &signature);
    let countersigned = image::attached(32, &signature);
    registry.contents().attach("a", &countersigned);
    let base = image.digest().as_str().replace(':', "-");
    registry
        .contents()
        .add("a", &format!("{base}.sig"), &image::single(33));
    let image = format!("{name}/a@{}", image.digest());

    let place = tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let damaged = place.path().join("damaged");
    image::write_layout(&damaged, &[("1", &tree)]).unwrap();
    fs::remove_file(layout::blob(
        &damaged,
        &tree.all_blobs()[0].descriptor.digest,
    ))
    .unwrap();
    let verify = run(&["verify", &path("damaged"), "--output", "json"]);
    let blob = format!("{name}/a@{}", tree.all_blobs()[0].descriptor.digest);
    image::write_layout(&place.path().join("source"), &[("1", &image::single(34))]).unwrap();
    registry.misbehave(Rule::on(Part::Manifest, limited()));
    fs::write(path("manifest"), tree.document()).unwrap();
    let put = [&*path("manifest"), "--dry-run"];
    vec![
        (
            "blob delete",
            vec![told(&["blob", "delete", &blob, "--dry-run"])],
        ),
        (
            "blob get",
            vec![told(&["blob", "get", &blob, "-f", &path("blob")])],
        ),
        ("blob head", vec![told(&["blob", "head", &blob])]),
        (
            "blob put",
            vec![told(
                &[&["blob", "put", &format!("{name}/a")], &put[..]].concat(),
            )],
        ),
        (
            "cache client-config",
            ["docker", "kaniko"]
                .map(|client| told(&["cache", "client-config", client]))
                .to_vec(),
        ),
        ("config", vec![chosen(&["config"])]),
        (
            "copy",
            vec![
                told(&["copy", &image, &format!("oci:{}", path("copied"))]),
                told(&["copy", &image, &format!("{name}/b:1"), "--dry-run"]),
            ],
        ),
        ("delete", vec![told(&["delete", reference, "--dry-run"])]),
        ("digest", vec![told(&["digest", reference])]),
        (
            "inspect",
            vec![chosen(&["inspect"]), told(&["inspect", reference])],
        ),
        ("manifest get", vec![told(&["manifest", "get", reference])]),
        (
            "manifest put",
            vec![told(&[&["manifest", "put", reference], &put[..]].concat())],
        ),
        ("ping", vec![told(&["ping", name])]),
        ("pull", vec![told(&["pull", &image, &path("layout")])]),
        (
            "push",
            vec![told(&["push", &path("source:1"), &format!("{name}/c:1")])],
        ),
        (
            "referrers",
            vec![
                told(&["referrers", &image]),
                told(&["referrers", &image, "--tree"]),
            ],
        ),
        ("repos", vec![told(&["repos", name])]),
        ("tag", vec![told(&["tag", reference, "2", "--dry-run"])]),
        ("tags", vec![told(&["tags", &format!("{name}/a")])]),
        (
            "verify",
            vec![serde_json::from_str(&verify.stdout).unwrap()],
        ),
    ]
}

/// Answers with a rate limit that is not exhausted.
fn limited() -> Misbehaviour {
    let value = "84;w=21600".parse().unwrap();
    Misbehaviour::Header("ratelimit-remaining".parse().unwrap(), value)
}

/// The paths of all fields in a value; those of lists are those of their entries.
fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, path, found)),
        // What the keys are is for others to say.
        Value::Object(_) if OPEN.iter().any(|open| path.ends_with(open)) => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                let path = path.trim_start_matches('.');
                found.insert(path.to_owned());
                // A tree has in it what it has at the top.
                collect(
                    value,
                    path.strip_suffix(".referrers").unwrap_or(path),
                    found,
                );
            }
        }
        _ => {}
    }
}

const OPEN: [&str; 3] = ["annotations", "document", "labels"];

/// The paths that README lists for each command: an item a command, each name in backticks, and
/// after a name in parentheses those of its own.
fn documented(readme: &str) -> Vec<(String, BTreeSet<String>)> {
    let (_, list) = readme.split_once("### Fields of JSON\n").unwrap();
    let (list, _) = list.split_once("\n## ").unwrap();
    let items = list.split("\n- ").skip(1);
    items
        .map(|item| documented_item(item.split("\n\n").next().unwrap()))
        .collect()
}

fn documented_item(item: &str) -> (String, BTreeSet<String>) {
    let (command, fields) = item.split_once("`: ").unwrap();
    let (mut paths, mut above, mut last) = (BTreeSet::new(), Vec::new(), String::new());
    for (number, text) in fields.split('`').enumerate() {
        if number % 2 == 1 {
            last = text.to_owned();
            let path: Vec<_> = above.iter().chain([&last]).map(String::as_str).collect();
            paths.insert(path.join("."));
        } else {
            for c in text.chars() {
                match c {
                    '(' => above.push(last.clone()),
                    ')' => _ = above.pop(),
                    _ => {}
                }
            }
        }
    }
    (command.trim_start_matches('`').to_owned(), paths)
}
