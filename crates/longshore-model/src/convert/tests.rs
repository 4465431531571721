use serde_json::{Value, json};

use super::*;
use crate::config::ImageConfig;
use crate::manifest::{Document, Manifest};
use crate::reference::Reference;

const DIGEST: &str = "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270";

/// A descriptor with everything that both crates know.
fn descriptor() -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": DIGEST,
        "size": 7682,
        "urls": ["https://example.com/x"],
        "annotations": {"a": "b", "c": "d"},
        "data": "aGVsbG8=",
        "platform": {
            "architecture": "armbe", "os": "windows", "os.version": "10.0.20348.707",
            "os.features": ["win32k"], "variant": "v7", "features": ["neon"],
        },
        "artifactType": "application/vnd.example+type; a=b",
    })
}

/// Converts there and back, and expects the same value.
#[track_caller]
fn round_trip<T, S>(value: &T) -> S
where
    T: Clone + PartialEq + std::fmt::Debug + TryFrom<S, Error: std::fmt::Debug>,
    S: Clone + TryFrom<T, Error: std::fmt::Debug>,
{
    let there = S::try_from(value.clone()).unwrap();
    assert_eq!(T::try_from(there.clone()).unwrap(), *value);
    there
}

#[test]
fn what_both_crates_know_survives_there_and_back() {
    let read: Descriptor = serde_json::from_value(descriptor()).unwrap();
    let there: spec::Descriptor = round_trip(&read);
    let platform = there.platform().as_ref().unwrap();
    assert_eq!(platform.os_version().as_deref(), Some("10.0.20348.707"));
    assert_eq!(
        *platform.architecture(),
        spec::Arch::Other("armbe".to_owned())
    );
    assert_eq!(*there.media_type(), spec::MediaType::ImageManifest);
    assert_eq!(there.digest().as_ref(), DIGEST);

    let mut image = ImageManifest::artifact(MediaType::OCTET_STREAM, vec![read.clone()]);
    image.subject = Some(read.clone());
    image.annotations.insert("a".to_owned(), "b".to_owned());
    let there: spec::ImageManifest = round_trip(&image);
    // It is the same document also for those who read it as JSON.
    let text = there.to_string().unwrap();
    let manifest = Manifest::parse(text.replace("os_", "os.").into(), None).unwrap();
    assert_eq!(*manifest.document(), Document::Image(image));

    let mut index = Index::new(vec![read.clone(), read.clone()]);
    index.artifact_type = Some(MediaType::JSON);
    index.subject = Some(read);
    index.annotations.insert("a".to_owned(), "b".to_owned());
    let there: spec::ImageIndex = round_trip(&index);
    let text = there.to_string().unwrap();
    let manifest = Manifest::parse(text.replace("os_", "os.").into(), None).unwrap();
    assert_eq!(*manifest.document(), Document::Index(index));
}

/// What both crates know of a configuration.
fn config() -> Value {
    json!({
        "created": "2015-10-31T22:22:56Z", "author": "a", "architecture": "arm64",
        "variant": "v8", "os": "windows", "os.version": "10.0", "os.features": ["win32k"],
        "config": {
            "User": "1:1", "ExposedPorts": {"8080/tcp": {}}, "Env": ["A=b"],
            "Entrypoint": [], "Cmd": ["x"], "Volumes": {"/v": {}}, "WorkingDir": "/",
            "Labels": {"a": "b"}, "StopSignal": "SIGKILL",
        },
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [
            {"created": "2015-10-31T22:22:54Z", "created_by": "c", "author": "a",
             "comment": "d", "empty_layer": true},
            {"created_by": "e"},
        ],
    })
}

fn read(config: &Value) -> ImageConfig {
    ImageConfig::parse(config.to_string().as_bytes()).unwrap()
}

#[test]
fn a_configuration_survives_there_and_back() {
    let there: spec::ImageConfiguration = round_trip(&read(&config()));
    let text = there.to_string().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), config());
    // The other way round, from what `oci-spec` itself reads.
    let theirs: spec::ImageConfiguration = serde_json::from_value(config()).unwrap();
    assert_eq!(
        ImageConfig::try_from(theirs.clone()).unwrap(),
        read(&config())
    );
    assert_eq!(theirs, there);
}

#[test]
fn what_oci_spec_has_no_place_for_is_lost() {
    let mut extended = config();
    for (key, value) in [
        ("ArgsEscaped", json!(true)),
        ("Healthcheck", json!({"Test": ["NONE"]})),
        ("Hostname", json!("x")),
        ("OnBuild", json!(["RUN true"])),
        ("Shell", json!(["sh"])),
        ("StopTimeout", json!(1)),
    ] {
        extended["config"][key] = value;
    }
    let there = spec::ImageConfiguration::from(read(&extended));
    assert_eq!(ImageConfig::try_from(there).unwrap(), read(&config()));
}

#[test]
fn absent_and_empty_become_the_same() {
    let mut bare = spec::Descriptor::new(
        spec::MediaType::EmptyJSON,
        2,
        spec::Digest::try_from(DIGEST).unwrap(),
    );
    let expected = Descriptor::try_from(bare.clone()).unwrap();
    bare.set_urls(Some(Vec::new()));
    bare.set_annotations(Some(HashMap::new()));
    assert_eq!(Descriptor::try_from(bare).unwrap(), expected);
    let there = spec::Descriptor::try_from(expected).unwrap();
    assert_eq!((there.urls(), there.annotations()), (&None, &None));
}

/// Converts what `oci-spec` reads, and says why that is none of ours.
#[track_caller]
fn check<S, T>(theirs: Value, expected: &str)
where
    S: serde::de::DeserializeOwned,
    T: TryFrom<S, Error = ConversionError> + std::fmt::Debug,
{
    let theirs: S = serde_json::from_value(theirs).unwrap();
    assert_eq!(T::try_from(theirs).unwrap_err().to_string(), expected);
}

#[test]
fn values_that_are_none_of_ours_are_refused() {
    let with = |pointer: &str, value: Value| {
        let mut document = json!({
            "schemaVersion": 2, "mediaType": "a/b", "config": descriptor(),
            "layers": [descriptor()], "manifests": [descriptor()],
        });
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    let manifest = check::<spec::ImageManifest, ImageManifest>;
    let index = check::<spec::ImageIndex, Index>;
    manifest(
        with("/schemaVersion", json!(1)),
        "the schema version is 1, not 2",
    );
    index(
        with("/schemaVersion", json!(3)),
        "the schema version is 3, not 2",
    );
    let media_type =
        |at| format!("a media type is `type/subtype`: unexpected character or end at byte {at}");
    manifest(with("/mediaType", json!("a")), &media_type(1));
    index(with("/manifests/0/artifactType", json!("")), &media_type(0));
    manifest(with("/config/mediaType", json!("a b")), &media_type(3));
    // LI3
    let size = json!(SIZE_LIMIT_BYTES + 1);
    let large =
        "the size is 9223372036854775808 bytes, and at most 9223372036854775807 are allowed";
    manifest(with("/layers/0/size", size), large);
    let long = format!("x:{}", "a".repeat(1000));
    let too_long = "the digest has 1002 bytes, and at most 512 are allowed";
    index(with("/manifests/0/digest", json!(long)), too_long);

    let mut other = config();
    other["rootfs"]["type"] = json!("layers+base");
    let check_config = check::<spec::ImageConfiguration, ImageConfig>;
    check_config(other, "the type of rootfs is not `layers`");
    let mut other = config();
    other["rootfs"]["diff_ids"] = json!(["x"]);
    check_config(
        other,
        "there is no colon, and a digest is `algorithm:encoded`",
    );
}

#[test]
fn digests_of_every_algorithm_convert() {
    for algorithm in ["sha256", "sha384", "sha512"] {
        let digest = Digest::of(&algorithm.parse().unwrap(), b"").unwrap();
        let there: spec::Digest = round_trip(&digest);
        assert_eq!(there.as_ref(), digest.as_str());
    }
    let other: Digest = "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"
        .parse()
        .unwrap();
    round_trip::<_, spec::Digest>(&other);
}

#[test]
fn references_convert_unless_they_read_as_others() {
    use oci_spec::distribution::Reference as Theirs;
    for text in [
        "alpine".to_owned(),
        "host:5000/a/b:tag".to_owned(),
        format!("host.example/a@{DIGEST}"),
        format!("host.example/a:tag@{DIGEST}"),
    ] {
        let reference = Reference::parse(&text).unwrap();
        let there: Theirs = round_trip(&reference);
        assert_eq!(there.whole(), reference.as_str());
        assert_eq!(text.parse::<Theirs>().unwrap(), there);
    }
    let put_together = |registry: &str, repository: &str| {
        let theirs = Theirs::with_tag(registry.into(), repository.into(), "1".into());
        let ours = Reference::try_from(theirs);
        ours.map(|it| it.to_string())
            .map_err(|error| error.to_string())
    };
    let hub = Ok("docker.io/library/alpine:1".to_owned());
    assert_eq!(put_together("index.docker.io", "alpine"), hub);
    assert_eq!(put_together("docker.io", "library/alpine"), hub);
    let other = "the registry would be read as a part of the repository name";
    assert_eq!(put_together("library", "alpine"), Err(other.to_owned()));
    assert_eq!(put_together("host.example/a", "b"), Err(other.to_owned()));
    let upper = "malformed repository name, which starts at byte 13: upper-case letter at byte 13, \
                 and only tags may have them";
    assert_eq!(put_together("host.example", "B"), Err(upper.to_owned()));
}
