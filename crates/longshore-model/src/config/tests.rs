use std::time::Duration;

use serde_json::{Value, json};

use super::ConfigError as E;
use super::*;
use crate::json::{JSON_DEPTH_LIMIT, VALUES_LIMIT};

const ONE: &str = "sha256:9d3dd9504c685a304985025df4ed0283e47ac9ffa9bd0326fddf4d59513f0827";
const TWO: &str = "sha256:2b689805fbd00b2db1df73fae47562faac1a626d5f61744bfe29946ecff5d73d";

/// Every field, each with a value that is not its default.
fn full() -> Value {
    json!({
        "created": "2015-10-31T22:22:56.015925234Z",
        "author": "Alyssa P. Hacker <alyspdev@example.com>",
        "architecture": "arm64",
        "variant": "v8",
        "os": "windows",
        "os.version": "10.0.20348.707",
        "os.features": ["win32k"],
        "config": {
            "User": "1:1",
            "ExposedPorts": {"53/udp": {}, "8080/tcp": {}},
            "Env": ["PATH=/bin", "FOO=bar"],
            "Entrypoint": ["/bin/sh"],
            "Cmd": [],
            "Volumes": {"/var/log": {}},
            "WorkingDir": "/srv/app",
            "Labels": {"org.example": "x"},
            "StopSignal": "SIGKILL",
            "ArgsEscaped": true,
            "StopTimeout": -1,
            "Healthcheck": {
                "Test": ["CMD", "true"], "Interval": 30_000_000_000_u64, "Timeout": 1,
                "StartPeriod": 2, "StartInterval": 3, "Retries": 4, "Later": [1],
            },
            "Shell": ["/bin/sh", "-c"],
            "OnBuild": ["RUN true"],
            "Hostname": "0123456789ab",
        },
        "rootfs": {"type": "layers", "diff_ids": [ONE, TWO], "base": "none"},
        "history": [
            {"created": "2015-10-31T22:22:54Z", "created_by": "ADD file:a3bc in /"},
            {"created_by": "CMD", "author": "a", "comment": "c", "empty_layer": true, "x": 1},
            {"created_by": "RUN true"},
        ],
        "docker_version": "20.10.1",
        "container_config": {"Hostname": "x"},
    })
}

fn minimal() -> Value {
    json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [ONE]},
    })
}

fn parse(document: &Value) -> Result<ImageConfig, E> {
    ImageConfig::parse(document.to_string().as_bytes())
}

#[test]
fn every_field_survives_a_round_trip() {
    let read = parse(&full()).unwrap();
    let run = read.config.as_ref().unwrap();
    assert_eq!(run.user.as_deref(), Some("1:1"));
    assert!(run.exposed_ports.iter().eq(["53/udp", "8080/tcp"]));
    assert_eq!(run.entrypoint, Some(vec!["/bin/sh".to_owned()]));
    assert_eq!(run.cmd, Some(Vec::new()));
    assert_eq!(run.labels["org.example"], "x");
    let health = run.healthcheck.as_ref().unwrap();
    assert_eq!(health.interval, Some(Duration::from_secs(30)));
    assert_eq!(read.rootfs.diff_ids[1].as_str(), TWO);
    assert_eq!(read.history[1].comment.as_deref(), Some("c"));
    let mut known = full();
    for (object, key) in [
        ("", "docker_version"),
        ("", "container_config"),
        ("/config", "Hostname"),
        ("/config/Healthcheck", "Later"),
        ("/rootfs", "base"),
        ("/history/1", "x"),
    ] {
        let object = known.pointer_mut(object).unwrap();
        assert!(
            object.as_object_mut().unwrap().remove(key).is_some(),
            "{key}"
        );
    }
    assert_eq!(serde_json::to_value(&read).unwrap(), known);
}

#[test]
fn three_fields_are_required_and_null_is_absent() {
    let read = parse(&minimal()).unwrap();
    let linux = Platform::new("linux", "amd64");
    assert_eq!(read, ImageConfig::new(&linux, vec![ONE.parse().unwrap()]));
    let mut nulls = minimal();
    for key in full().as_object().unwrap().keys() {
        if minimal().get(key).is_none() {
            nulls[key] = Value::Null;
        }
    }
    assert_eq!(parse(&nulls).unwrap(), read);
    // An image without layers, as Go writes it.
    nulls["rootfs"]["diff_ids"] = Value::Null;
    assert_eq!(parse(&nulls).unwrap().rootfs, RootFs::default());
}

#[test]
fn an_empty_command_is_not_an_absent_one() {
    let command = |run: Value| {
        let mut document = minimal();
        document["config"] = run;
        parse(&document).unwrap().config.map(|run| run.cmd)
    };
    assert_eq!(command(Value::Null), None);
    assert_eq!(command(json!({})), Some(None));
    assert_eq!(command(json!({"Cmd": null})), Some(None));
    assert_eq!(command(json!({"Cmd": []})), Some(Some(Vec::new())));
}

/// Changes one field of a good configuration and says why it is then refused.
#[track_caller]
fn check(pointer: &str, value: Value, expected: &str) {
    let mut document = full();
    *document.pointer_mut(pointer).unwrap() = value;
    match parse(&document) {
        Err(E::Malformed { reason, .. }) => assert_eq!(&*reason, expected, "{pointer}"),
        other => panic!("{pointer}: {other:?}"),
    }
}

#[test]
fn fields_of_another_form_are_refused() {
    let string = |found: &str| format!("invalid type: {found}, expected a string");
    check("/os", json!(123), &string("integer `123`"));
    check("/config/User", json!(1234), &string("integer `1234`"));
    check(
        "/config/Labels/org.example",
        json!(1),
        &string("integer `1`"),
    );
    check(
        "/config/Volumes",
        json!(["/data"]),
        "invalid type: sequence, expected an object of empty objects",
    );
    check(
        "/config/Env",
        json!("A=b"),
        "invalid type: string \"A=b\", expected a list",
    );
    check(
        "/config/Healthcheck/Interval",
        json!(-1),
        "invalid value: integer `-1`, expected u64",
    );
    check(
        "/history/1/empty_layer",
        json!("true"),
        "invalid type: string \"true\", expected a boolean",
    );
    check(
        "/history",
        json!({}),
        "invalid type: map, expected a list, each a history object",
    );
    check(
        "/rootfs/type",
        json!("layers+base"),
        "invalid value: string \"layers+base\", expected `layers`",
    );
    check(
        "/rootfs/diff_ids/0",
        json!("sha256:00"),
        "the encoded part of the digest has 2 characters, and its algorithm requires 64 \
         hexadecimal digits",
    );
    for (pointer, key) in [
        ("/os", "os"),
        ("/architecture", "architecture"),
        ("/rootfs", "rootfs"),
        ("/rootfs/type", "type"),
    ] {
        check(pointer, Value::Null, &format!("missing field `{key}`"));
    }
}

#[test]
fn what_is_no_configuration_says_where() {
    let check = |text: &[u8], expected: &str| {
        let error = ImageConfig::parse(text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let malformed = "malformed image configuration: ";
    check(
        b"",
        &format!("{malformed}EOF while parsing a value, at line 1 column 0"),
    );
    check(
        b"[]",
        &format!(
            "{malformed}invalid type: sequence, expected an image configuration, \
             at line 1 column 0"
        ),
    );
    check(
        b"{\"os\":\"\xff\"}",
        "the image configuration is not UTF-8 from byte 7 on",
    );
}

#[test]
fn dg5_a_key_given_twice_is_refused() {
    let text = full().to_string();
    for (before, twice) in [
        ("\"os\":", "\"os\":\"linux\","),
        ("\"User\":", "\"User\":null,"),
        ("\"8080/tcp\":", "\"8080/tcp\":{},"),
        ("\"Retries\":", "\"Retries\":1,"),
        ("\"diff_ids\":", "\"diff_ids\":[],"),
        ("\"empty_layer\":", "\"empty_layer\":false,"),
        ("\"docker_version\":", "\"docker_version\":1,"),
    ] {
        let document = text.replacen(before, &format!("{twice}{before}"), 1);
        let error = ImageConfig::parse(document.as_bytes()).unwrap_err();
        assert!(
            matches!(error, E::DuplicateKey { line: 1, .. }),
            "{before} {error}"
        );
    }
}

#[test]
fn li_values_are_counted_and_depth_is_bounded() {
    let with = |pointer: &str, make: &dyn Fn(usize) -> Value, count: usize| {
        let mut document = full();
        *document.pointer_mut(pointer).unwrap() = make(count);
        parse(&document).map(drop)
    };
    // Half of the limit is far more than the other fields take.
    let check = |pointer: &str, make: &dyn Fn(usize) -> Value| {
        assert_eq!(with(pointer, make, VALUES_LIMIT / 2), Ok(()), "{pointer}");
        let over = with(pointer, make, VALUES_LIMIT + 1);
        assert_eq!(over, Err(E::TooManyValues), "{pointer}");
    };
    check("/rootfs/diff_ids", &|count| vec![json!(ONE); count].into());
    check("/history", &|count| vec![json!({}); count].into());
    check("/config/Env", &|count| vec![json!(""); count].into());
    check("/config/Volumes", &|count| {
        (0..count).map(|n| (n.to_string(), json!({}))).collect()
    });
    check("/container_config", &|count| vec![json!(0); count].into());
    let deep = "[".repeat(JSON_DEPTH_LIMIT);
    let error = ImageConfig::parse(format!(r#"{{"x":{deep}"#).as_bytes()).unwrap_err();
    let shown = "malformed image configuration: recursion limit exceeded, at line 1 column 132";
    assert_eq!(error.to_string(), shown);
}

#[test]
fn ou1_a_quoted_value_is_escaped_and_cut() {
    let mut document = full();
    document["rootfs"]["type"] = format!("\u{1b}\u{202e}{}", "x".repeat(1000)).into();
    let E::Malformed { reason, .. } = parse(&document).unwrap_err() else {
        panic!("another error");
    };
    let start = r#"invalid value: string "\u{1b}\u{202e}xxx"#;
    assert!(reason.starts_with(start) && reason.len() == 200, "{reason}");
}

#[test]
fn the_platform_is_what_an_index_would_say() {
    let read = parse(&full()).unwrap().platform();
    let mut expected: Platform = "windows/arm64/v8".parse().unwrap();
    expected.os_version = Some("10.0.20348.707".to_owned());
    expected.os_features = vec!["win32k".to_owned()];
    assert_eq!(read, expected);
    assert_eq!(ImageConfig::new(&expected, Vec::new()).platform(), expected);
}

#[test]
fn steps_are_paired_with_layers_where_they_agree() {
    let mut config = parse(&full()).unwrap();
    let steps = |config: &ImageConfig| {
        let steps = config.steps()?;
        Some(
            steps
                .map(|(step, layer)| (step.created_by.clone().unwrap(), layer))
                .collect(),
        )
    };
    let paired = |pairs: [(&str, Option<usize>); 3]| {
        Some(pairs.map(|(step, layer)| (step.to_owned(), layer)).to_vec())
    };
    assert_eq!(
        steps(&config),
        paired([
            ("ADD file:a3bc in /", Some(0)),
            ("CMD", None),
            ("RUN true", Some(1))
        ])
    );
    config.history[1].empty_layer = false;
    assert_eq!(steps(&config), None::<Vec<_>>);
    config.history.clear();
    assert_eq!(steps(&config), None);
    config.rootfs.diff_ids.clear();
    assert_eq!(steps(&config), Some(Vec::new()));
}
