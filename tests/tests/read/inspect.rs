//! `inspect`: a summary for people and one for programs.

use super::*;

/// An image whose config says everything a config can say.
fn rich(registry: &Registry, layers: &[DescribedContent]) -> DescribedContent {
    let diff_ids: Vec<_> = layers.iter().map(|it| &it.descriptor.digest).collect();
    let config = json!({
        "created": "2024-05-06T07:08:09Z",
        "author": "Ada",
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "config": {
            "User": "1000:1000",
            "ExposedPorts": { "80/tcp": {}, "443/tcp": {} },
            "Env": ["PATH=/bin", "A=b c"],
            "Entrypoint": ["/bin/app", "--flag"],
            "Cmd": ["a b"],
            "Volumes": { "/data": {} },
            "WorkingDir": "/srv",
            "Labels": { "org.example.team": "blue" },
            "StopSignal": "SIGINT",
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [
            { "created_by": "ADD  rootfs.tar\n /" },
            { "created_by": "ENV A=b", "empty_layer": true },
            { "created_by": format!("RUN {}", "x".repeat(200)) },
        ],
    });
    let config = document(MediaType::OCI_CONFIG.as_str(), &config.to_string());
    let contents = registry.contents();
    for blob in layers.iter().chain([&config]) {
        contents.set_blob("a", &blob.descriptor.digest, blob.content.clone());
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": descriptor(&config),
        "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
        "annotations": { "org.opencontainers.image.source": "https://example.com/app" },
    });
    let manifest = document(MediaType::OCI_MANIFEST.as_str(), &manifest.to_string());
    contents.add_document("a", "1", manifest.clone());
    manifest
}

fn layers() -> [DescribedContent; 2] {
    let layer = |text: &str| document(MediaType::OCI_LAYER_GZIP.as_str(), text);
    [layer("first"), layer("second layer")]
}

#[test]
fn inspect_summarises_an_image() {
    let registry = Registry::builder().start().unwrap();
    let layers = layers();
    let manifest = rich(&registry, &layers);
    let reference = reference(&registry);
    let digest = &manifest.descriptor.digest;
    let config: Value = {
        let manifest: Value = serde_json::from_slice(&manifest.content.bytes()).unwrap();
        manifest["config"].clone()
    };
    let total = manifest.descriptor.size + config["size"].as_u64().unwrap() + 5 + 12;
    let [first, second] = layers.map(|it| it.descriptor.digest);
    let kind = MediaType::OCI_LAYER_GZIP;
    let long = format!("RUN {}", "x".repeat(200));
    let text = format!(
        r#"Reference:   {reference}
Digest:      {digest}
Media type:  application/vnd.oci.image.manifest.v1+json
Platform:    linux/arm64/v8
Created:     2024-05-06T07:08:09Z
Size:        {:.1} KiB in 2 layers

Layers:
  {first}  5 B   {kind}
      ADD rootfs.tar /
  {second}  12 B  {kind}
      {}…

Config:
  Author:      Ada
  User:        1000:1000
  Directory:   /srv
  Entrypoint:  ["/bin/app","--flag"]
  Command:     ["a b"]
  Ports:       443/tcp, 80/tcp
  Volumes:     /data
  Stops by:    SIGINT
  Env:         PATH=/bin
  Env:         A=b c

Labels:
  org.example.team=blue

Annotations:
  org.opencontainers.image.source=https://example.com/app

Attached:
  nothing"#,
        total as f64 / 1024.0,
        &long[..100],
    );
    let ended = run(&["inspect", &reference]);
    assert_eq!((ended.succeeded(), &*ended.stderr), (&*text, ""));
    let layer = |digest: &Digest, size: u64, step: &str| {
        json!({
            "digest": digest,
            "media_type": kind.as_str(),
            "size": size,
            "created_by": step,
            "annotations": {},
        })
    };
    assert_eq!(
        told(&["inspect", &reference]),
        json!({
            "reference": reference,
            "digest": digest,
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "artifact_type": null,
            "size": manifest.descriptor.size,
            "total_size": total,
            "index": null,
            "subject": null,
            "platform": "linux/arm64/v8",
            "created": "2024-05-06T07:08:09Z",
            "annotations": { "org.opencontainers.image.source": "https://example.com/app" },
            "platforms": [],
            "attestations": [],
            "config": {
                "digest": config["digest"],
                "media_type": config["mediaType"],
                "size": config["size"],
            },
            "runtime": {
                "author": "Ada",
                "user": "1000:1000",
                "working_dir": "/srv",
                "entrypoint": ["/bin/app", "--flag"],
                "cmd": ["a b"],
                "env": ["PATH=/bin", "A=b c"],
                "ports": ["443/tcp", "80/tcp"],
                "volumes": ["/data"],
                "stop_signal": "SIGINT",
                "labels": { "org.example.team": "blue" },
            },
            "layers": [
                layer(&first, 5, "ADD  rootfs.tar\n /"),
                layer(&second, 12, &long),
            ],
            "referrers_from": "api",
            "referrers": [],
            "more_referrers": false,
        "problems": [],
            "cosign": [],
        })
    );
    run(&["inspect", &reference, "--platform", "linux/amd64"])
        .failed_with_hint(PLATFORM, &["linux/amd64", "linux/arm64/v8"]);
}

// One request for each thing that is told, and no more.
#[test]
fn inspect_asks_for_little() {
    let tokens = TokenServer::builder().start().unwrap();
    let registry = Registry::builder().bearer(&tokens).start().unwrap();
    rich(&registry, &layers());
    assert_eq!(
        run(&["inspect", &reference(&registry)]).status.code(),
        Some(0)
    );
    let count = |part, method: Method| {
        let asked = registry.requests_to(part);
        asked.iter().filter(|it| it.method == method).count()
    };
    // The first is refused, and earns the token for all the others.
    assert_eq!(count(Part::Manifest, Method::GET), 2);
    assert_eq!(tokens.requests().len(), 1);
    assert_eq!(count(Part::Blob, Method::GET), 1);
    assert_eq!(count(Part::List, Method::GET), 1);
    // The tags of cosign.
    assert_eq!(count(Part::Manifest, Method::HEAD), 3);
}

/// What BuildKit makes: an index with images and an attestation about one of them.
pub(super) fn built(registry: &Registry, tree: &Tree) -> DescribedContent {
    let image = tree.child("linux/s390x").unwrap();
    let about = json!({
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "digest": Digest::sha256(b"attestation"),
        "size": 11,
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest(),
        },
    });
    let mut index: Value = serde_json::from_slice(&tree.document()).unwrap();
    index["manifests"].as_array_mut().unwrap().push(about);
    let index = document(MediaType::OCI_INDEX.as_str(), &index.to_string());
    registry.contents().attach("a", tree);
    registry.contents().add_document("a", "1", index.clone());
    index
}

#[test]
fn inspect_lists_the_platforms_of_an_index() {
    let platforms = ["linux/amd64", "linux/s390x", "windows/amd64"];
    let mut platforms = platforms.map(|it| it.parse::<longshore_model::Platform>().unwrap());
    platforms[2].os_version = Some("10.0.1\u{1b}".to_owned());
    let tree = image::index(90, &platforms);
    let registry = Registry::builder().start().unwrap();
    let index = built(&registry, &tree);
    // A mirror may lack an image.
    registry.contents().remove("a", tree.children()[2].digest());
    let reference = reference(&registry);
    let size = |tree: &Tree| format!("{:.1} KiB", tree.total_bytes() as f64 / 1024.0);
    let [amd, ibm, windows] = tree.children() else {
        panic!("three images")
    };
    let attestation = Digest::sha256(b"attestation");
    let text = format!(
        r"Reference:   {reference}
Digest:      {}
Media type:  application/vnd.oci.image.index.v1+json

Platforms:
  linux/amd64                 {}  {}
  linux/s390x                 {}  {}
  windows/amd64 10.0.1\u{{1b}}  {}  ?

Attestations:
  {attestation} about {}

Attached:
  nothing",
        index.descriptor.digest,
        amd.digest(),
        size(amd),
        ibm.digest(),
        size(ibm),
        windows.digest(),
        ibm.digest(),
    );
    let ended = run(&["inspect", &reference]);
    assert_eq!(ended.succeeded(), text);
    let told = told(&["inspect", &reference]);
    assert_eq!(
        told["platforms"][1],
        json!({
            "platform": "linux/s390x",
            "os_version": null,
            "digest": ibm.digest(),
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "size": ibm.document().len(),
            "total_size": ibm.total_bytes(),
        })
    );
    assert_eq!(told["platforms"][2]["os_version"], "10.0.1\u{1b}");
    assert_eq!(told["platforms"][2]["total_size"], Value::Null);
    assert_eq!(
        told["attestations"],
        json!([{
            "digest": attestation,
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "size": 11,
            "type": "attestation-manifest",
            "subject": ibm.digest(),
        }])
    );
    for (field, expected) in [
        ("config", Value::Null),
        ("runtime", Value::Null),
        ("platform", Value::Null),
        ("total_size", Value::Null),
        ("layers", json!([])),
    ] {
        assert_eq!(told[field], expected, "{field}");
    }

    let chosen = super::told(&["inspect", &reference, "--platform", "linux/s390x"]);
    assert_eq!(chosen["digest"], ibm.digest().as_str());
    assert_eq!(chosen["index"], index.descriptor.digest.as_str());
    assert_eq!(chosen["total_size"], ibm.total_bytes());
    let text = run(&["inspect", &reference, "--platform", "linux/s390x"]);
    let from = format!("From index:  {}\n", index.descriptor.digest);
    assert!(text.succeeded().contains(&from), "{}", text.stdout);
    run(&["inspect", &reference, "--platform", "plan9/amd64"])
        .failed_with_hint(PLATFORM, &["plan9/amd64", "linux/s390x"]);
}

#[test]
fn inspect_makes_do_with_configs_of_all_kinds() {
    let registry = Registry::builder().start().unwrap();
    let inspect = |tag: &str| format!("{}/a:{tag}", registry.authority());
    // Helm: JSON of its own, for which nobody needs to be asked.
    with_config(
        &registry,
        "helm",
        "application/vnd.cncf.helm.config.v1+json",
        r#"{"name":"x"}"#,
    );
    let told = told(&["inspect", &inspect("helm")]);
    assert_eq!(told["runtime"], Value::Null);
    assert_eq!(
        told["config"]["media_type"],
        "application/vnd.cncf.helm.config.v1+json"
    );
    assert_eq!(registry.requests_to(Part::Blob).len(), 0);
    // cosign: an image config that says nothing.
    let nothing = r#"{"architecture":"","created":"0001-01-01T00:00:00Z","os":"",
        "rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;
    with_config(&registry, "cosign", MediaType::OCI_CONFIG.as_str(), nothing);
    let told = super::told(&["inspect", &inspect("cosign")]);
    assert_eq!(told["created"], "0001-01-01T00:00:00Z");
    assert_eq!(told["runtime"]["env"], json!([]));
    assert_eq!(told["platform"], Value::Null);
    let config = super::told(&["config", &inspect("cosign")]);
    assert_eq!(config["platform"], Value::Null);
    let ended = run(&["inspect", &inspect("cosign")]);
    assert!(!ended.succeeded().contains("Config:"), "{}", ended.stdout);
    // Something else under the name of a config.
    with_config(
        &registry,
        "odd",
        MediaType::OCI_CONFIG.as_str(),
        r#"{"os":"\u001b[2J"}"#,
    );
    let ended = run(&["inspect", &inspect("odd")]);
    assert!(
        ended.succeeded().contains("\nLayers:\n"),
        "{}",
        ended.stdout
    );
    let note = "note: the config is not shown: ";
    assert!(
        ended.stderr.starts_with(note) && ended.stderr.contains("architecture"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        super::told(&["inspect", &inspect("odd")])["runtime"],
        Value::Null
    );
}

// OU1
#[test]
fn ou1_nothing_a_registry_says_reaches_a_terminal_as_it_is() {
    let bad = "\u{1b}[31m\u{202e}\u{9b}\r\n";
    let escaped = r"\u{1b}[31m\u{202e}\u{9b}\u{d}\u{a}";
    let registry = Registry::builder().start().unwrap();
    let config = json!({
        "created": bad, "author": bad, "architecture": bad, "os": bad,
        "config": {
            "User": bad, "ExposedPorts": { bad: {} }, "Env": [bad], "Entrypoint": [bad],
            "Cmd": [bad], "WorkingDir": bad, "Labels": { bad: bad }, "StopSignal": bad,
        },
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(b"x")] },
        "history": [{ "created_by": bad }],
    });
    let config = document(MediaType::OCI_CONFIG.as_str(), &config.to_string());
    registry
        .contents()
        .set_blob("a", &config.descriptor.digest, config.content.clone());
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor(&config),
        "layers": [descriptor(&document("a/b", "x"))],
        "annotations": { bad: bad },
    });
    let manifest = document(MediaType::OCI_MANIFEST.as_str(), &manifest.to_string());
    registry.contents().add_document("a", "1", manifest);
    let ended = run(&["inspect", &reference(&registry)]);
    let shown = ended.succeeded();
    assert!(
        shown.contains(&format!("User:        {escaped}\n")),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("  {escaped}={escaped}\n")),
        "{shown}"
    );
    let json = run(&["inspect", &reference(&registry), "--output", "json"]);
    for printed in [&ended.stdout, &json.stdout] {
        let obeyed = printed
            .chars()
            .find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(obeyed, None, "{printed:?}");
    }
    assert_eq!(json.json()["runtime"]["user"], bad);
}

// EN1, OU1: a column is as wide as what stands in it, and a registry decides what that is.
#[test]
fn ou1_a_platform_of_any_length_is_cut() {
    let registry = serving(&image::single(110));
    let platform = json!({ "os": "o".repeat(70_000), "architecture": "a".repeat(70_000) });
    let entry = json!({
        "mediaType": MediaType::OCI_CONFIG.as_str(),
        "digest": Digest::sha256(b"").as_str(),
        "size": 0,
        "platform": platform,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": [entry],
    });
    let index = document(MediaType::OCI_INDEX.as_str(), &index.to_string());
    registry.contents().add_document("a", "wide", index);
    let config = json!({
        "os": "o".repeat(70_000),
        "architecture": "amd64",
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    with_config(
        &registry,
        "long",
        MediaType::OCI_CONFIG.as_str(),
        &config.to_string(),
    );
    for tag in ["wide", "long"] {
        let ended = run(&["inspect", &format!("{}/a:{tag}", registry.authority())]);
        let longest = ended.succeeded().lines().map(str::len).max().unwrap();
        assert!(longest < 700, "{tag}: {longest}");
    }
}
