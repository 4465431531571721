use longshore_origin::{JSON_DEPTH_LIMIT, Secret};

use super::*;

fn basic(username: &str, password: &str) -> Option<Credential> {
    Some(Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

#[track_caller]
fn check(file: &str, registry: &str, expected: Option<Credential>) {
    let config = DockerConfig::parse(file.as_bytes()).unwrap();
    assert_eq!(
        config.credential(registry).unwrap(),
        expected,
        "{registry} in {file}"
    );
}

#[track_caller]
fn refuses(file: &str, registry: &str, expected: &str) {
    let config = DockerConfig::parse(file.as_bytes()).unwrap();
    assert_eq!(
        config.credential(registry).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn an_entry_is_found_by_the_name_of_its_registry() {
    // "user:pass", with and without padding, and with NULs behind it.
    let file = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"},"b.example:5000":{"auth":"dTpw"},
        "c.example":{"auth":"dXNlcjpwYQ"},"d.example":{"auth":"dTpwAAA="},
        "https://e.example/v2/":{"username":"u","password":"p"},"f.example":{},"g.example":null}}"#;
    check(file, "a.example", basic("user", "pass"));
    check(file, "b.example:5000", basic("u", "p"));
    check(file, "c.example", basic("user", "pa"));
    check(file, "d.example", basic("u", "p"));
    check(file, "e.example", basic("u", "p"));
    check(file, "f.example", None);
    check(file, "g.example", None);
}

#[test]
fn cr2_no_prefix_suffix_or_path_of_a_name_matches() {
    let file = r#"{"auths":{"a.example":{"auth":"dTpw"},"a.example/team":{"auth":"dTpw"}}}"#;
    for other in [
        "example",
        "b.a.example",
        "a.example.net",
        "a.example:443",
        "team",
        "",
    ] {
        check(file, other, None);
    }
    let scoped = r#"{"auths":{"a.example/team":{"auth":"dTpw"}}}"#;
    check(scoped, "a.example", None);
}

#[test]
fn docker_hub_stands_under_many_names() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "https://registry-1.docker.io",
    ] {
        let file = format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#);
        check(&file, "docker.io", basic("u", "p"));
        check(&file, "registry-1.docker.io", basic("u", "p"));
    }
}

#[test]
fn the_plain_name_wins_over_an_url() {
    let file = r#"{"auths":{"https://a.example":{"auth":"dTox"},"a.example":{"auth":"dToy"},
        "http://a.example/v1/":{"auth":"dToz"}}}"#;
    check(file, "a.example", basic("u", "2"));
}

#[test]
fn tokens_win_over_passwords() {
    let token = |text: &str| Secret::new(text.to_owned());
    let file = r#"{"auths":{"a.example":{"auth":"dTpw","identitytoken":"id"},
        "b.example":{"registrytoken":"bearer"},"c.example":{"auth":"dTpw","identitytoken":""}}}"#;
    check(
        file,
        "a.example",
        Some(Credential::IdentityToken(token("id"))),
    );
    check(file, "b.example", Some(Credential::Token(token("bearer"))));
    check(file, "c.example", basic("u", "p"));
}

#[test]
fn a_malformed_entry_is_an_error_of_its_registry_alone() {
    let file = r#"{"auths":{"a.example":{"auth":"%%%"},"b.example":{"auth":"dXNlcg=="},
        "c.example":{"auth":"OnA="},"d.example":{"auth":"dTpw"},"e.example":"hunter2",
        "f.example":{"auth":["hunter2"]},"g.example":{"password":4242},"h.example":[1],
        "i.example":{"auth":1,"auth":"dTpw"}},"credHelpers":{"j.example":{"x":1}}}"#;
    let what = |reason| format!("its entry in \"auths\" is malformed: {reason}");
    refuses(file, "a.example", &what("\"auth\" is not base64"));
    refuses(file, "b.example", &what("\"auth\" holds no colon"));
    refuses(file, "c.example", &what("\"auth\" holds no username"));
    check(file, "d.example", basic("u", "p"));
    refuses(file, "e.example", &what("it is not an object"));
    refuses(file, "f.example", &what("\"auth\" is not text"));
    refuses(file, "g.example", &what("\"password\" is not text"));
    refuses(file, "h.example", &what("it is not an object"));
    check(file, "i.example", basic("u", "p"));
    refuses(
        file,
        "j.example",
        "its entry in \"credHelpers\" is malformed: it is not text",
    );
}

// CR11: also where `auths` has an entry for the same registry.
#[test]
fn cr11_within_a_file_a_helper_comes_before_auths() {
    let says = |helper: &str| format!("its credentials are in the credential helper \"{helper}\"");
    let file = r#"{"auths":{"a.example":{"auth":"dTpw"},"a.example/team":{"auth":"dTpw"}},
        "credsStore":"desktop","credHelpers":{"b.example":"ecr-login"}}"#;
    refuses(file, "a.example", &says("desktop"));
    refuses(file, "b.example", &says("ecr-login"));
    let config = DockerConfig::parse(file.as_bytes()).unwrap();
    let error = config.credential_in("a.example", "team/app").unwrap_err();
    assert_eq!(error.to_string(), says("desktop"));
    let one = r#"{"auths":{"a.example":{"auth":"dTpw"}},"credHelpers":{"b.example":"x"}}"#;
    check(one, "a.example", basic("u", "p"));
    refuses(one, "b.example", &says("x"));
    let odd = r#"{"credsStore":"x\u001b[2J\n"}"#;
    refuses(odd, "b.example", &says(r"x\u{1b}[2J\u{a}"));
}

#[test]
fn host_names_are_compared_without_regard_to_case() {
    let file = r#"{"auths":{"LOCALHOST:5000":{"auth":"dTox"},"a.example":{"auth":"dToy"},
        "HTTPS://B.example/v1/":{"auth":"dToz"},"Index.Docker.IO/v1/":{"auth":"dTo0"},
        "C.example/Team":{"auth":"dTo1"}},"credHelpers":{"D.example":"x"}}"#;
    check(file, "localhost:5000", basic("u", "1"));
    check(file, "LocalHost:5000", basic("u", "1"));
    check(file, "A.EXAMPLE", basic("u", "2"));
    check(file, "b.example", basic("u", "3"));
    check(file, "docker.io", basic("u", "4"));
    // Paths are case-sensitive.
    let config = DockerConfig::parse(file.as_bytes()).unwrap();
    let found = |path| config.credential_in("c.example", path).unwrap();
    assert_eq!(found("team"), None);
    assert_eq!(found("Team"), basic("u", "5"));
    refuses(
        file,
        "d.example",
        "its credentials are in the credential helper \"x\"",
    );
}

#[test]
fn a_url_applies_to_its_host_whatever_its_path() {
    let file = r#"{"auths":{"https://a.example/v1/users/":{"auth":"dTox"},
        "http://b.example:5000/x?y=z":{"auth":"dToy"},
        "https://c.example/x":{"auth":"dToz"},"c.example":{"auth":"dTo0"}}}"#;
    check(file, "a.example", basic("u", "1"));
    check(file, "b.example:5000", basic("u", "2"));
    check(file, "c.example", basic("u", "4"));
}

#[test]
fn nul_bytes_around_a_password_are_removed() {
    // "u:\0\0p\0q\0"
    let file = r#"{"auths":{"a.example":{"auth":"dToAAHAAcQA="}}}"#;
    check(file, "a.example", basic("u", "p\0q"));
}

#[test]
fn an_empty_file_and_a_byte_order_mark_are_accepted() {
    for file in ["", " \n", "\u{feff}", "\u{feff}{}", "\u{feff} \r\n"] {
        check(file, "a.example", None);
    }
    let file = "\u{feff}{\"auths\":{\"a.example\":{\"auth\":\"dTpw\"}}}";
    check(file, "a.example", basic("u", "p"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, "").unwrap();
    let config = DockerConfig::load(&path).unwrap();
    assert_eq!(config.credential("a.example").unwrap(), None);
}

#[cfg(unix)]
#[test]
fn what_is_not_a_regular_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    // Opening the pipe would wait for a writer, and the device has no end.
    for path in [&fifo, Path::new("/dev/zero"), dir.path()] {
        let error = DockerConfig::load(path).unwrap_err();
        let expected = format!("{} is not a regular file", path.display());
        assert_eq!(error.to_string(), expected);
    }
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, r#"{"auths":{"a.example":{"auth":"dTpw"}}}"#).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let found = DockerConfig::load(&link).unwrap().credential("a.example");
    assert_eq!(found.unwrap(), basic("u", "p"));
}

#[test]
fn li_a_file_that_is_too_large_or_no_configuration_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    assert_eq!(
        DockerConfig::load(&path)
            .unwrap()
            .credential("a.example")
            .unwrap(),
        None
    );
    std::fs::write(&path, r#"{"auths":"no"}"#).unwrap();
    let error = DockerConfig::load(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("is not a Docker configuration file"),
        "{error}"
    );
    std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
    let error = DockerConfig::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("is larger than 1048576 bytes"), "{error}");
}

// LI: the limit also applies to settings that are not used.
#[test]
fn li_a_file_that_nests_too_deep_is_an_error() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\n\"plugins\":{open}{close},\"auths\":{{}}}}")
    };
    check(&nested(JSON_DEPTH_LIMIT - 2), "a.example", None);
    let error = DockerConfig::parse(nested(JSON_DEPTH_LIMIT - 1).as_bytes()).unwrap_err();
    let column = "\"plugins\":".len() + JSON_DEPTH_LIMIT - 1;
    assert_eq!((error.line, error.column), (2, column));
}

#[test]
fn cr1_no_secret_is_shown() {
    let config = DockerConfig::parse(br#"{"auths":{"a.example":{"auth":"dTpodW50ZXIy"}}}"#);
    let shown = format!("{:?}", config.unwrap());
    assert!(
        !shown.contains("hunter2") && !shown.contains("dTpodW50ZXIy"),
        "{shown}"
    );
}

// OU3: a file of the wrong shape has its secrets where a parser would quote them.
#[test]
fn ou3_no_error_quotes_the_file() {
    for file in [
        r#"{"auths":"hunter2"}"#,
        r#"{"credHelpers":"hunter2"}"#,
        r#"{"credsStore":4242}"#,
        r#"{"auths":{"a.example":{"hunter2"}}}"#,
        "hunter2",
    ] {
        let error = DockerConfig::parse(file.as_bytes()).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                !shown.contains("hunter2") && !shown.contains("4242"),
                "{shown}"
            );
        }
    }
    for file in [
        r#"{"auths":{"a.example":"hunter2"}}"#,
        r#"{"auths":{"a.example":{"auth":["hunter2"]}}}"#,
        r#"{"auths":{"a.example":{"password":4242}}}"#,
        r#"{"credHelpers":{"a.example":{"hunter2":1}}}"#,
    ] {
        let config = DockerConfig::parse(file.as_bytes()).unwrap();
        let error = config.credential("a.example").unwrap_err();
        for shown in [error.to_string(), format!("{error:?} {config:?}")] {
            assert!(
                !shown.contains("hunter2") && !shown.contains("4242"),
                "{shown}"
            );
        }
    }
    let error = DockerConfig::parse(b"{\n \"auths\": 7}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 11));
}

#[test]
fn cr2_the_longest_key_of_whole_segments_wins_within_a_registry() {
    let file = r#"{"auths":{"a.example":{"auth":"dTox"},"a.example/team":{"auth":"dToy"},
        "a.example/team/app":{"auth":"dToz"},"b.example/team":{"auth":"dTo0"},
        "https://c.example/team":{"auth":"dTo1"},"docker.io/library":{"auth":"dTo2"}},
        "credHelpers":{"d.example":"x"}}"#;
    let config = DockerConfig::parse(file.as_bytes()).unwrap();
    for (registry, repository, password) in [
        ("a.example", "other", Some("1")),
        ("a.example", "team", Some("2")),
        ("a.example", "team/x/y", Some("2")),
        ("a.example", "team/app", Some("3")),
        ("a.example", "team/app/x", Some("3")),
        ("a.example", "team/apple", Some("2")),
        ("a.example", "teams/app", Some("1")),
        ("a.example", "x/team", Some("1")),
        ("b.example", "team/app", Some("4")),
        ("b.example", "other", None),
        ("c.example", "team", Some("5")),
        ("index.docker.io", "library/alpine", Some("6")),
        ("docker.io", "other/alpine", None),
    ] {
        let found = config.credential_in(registry, repository).unwrap();
        let expected = password.and_then(|password| basic("u", password));
        assert_eq!(found, expected, "{registry}/{repository}");
    }
}

#[test]
fn a_helper_without_a_name_switches_helpers_off() {
    let file = r#"{"auths":{"a.example":{"auth":"dTpw"}},"credsStore":"desktop",
        "credHelpers":{"a.example":"","b.example":""}}"#;
    check(file, "a.example", basic("u", "p"));
    check(file, "b.example", None);
}

#[test]
fn the_entries_of_an_old_file_stand_at_its_top() {
    let file = r#"{"https://index.docker.io/v1/":{"auth":"dTpw","email":"e"},
        "a.example":{"auth":"dTpx"}}"#;
    check(file, "docker.io", basic("u", "p"));
    check(file, "a.example", basic("u", "q"));
    // Whatever a file of today says has entries of its own, and no others.
    for other in [
        r#"{"auths":{},"a.example":{"auth":"dTpx"}}"#,
        r#"{"credsStore":"","a.example":{"auth":"dTpx"}}"#,
        r#"{"HttpHeaders":{"User-Agent":"x"},"psFormat":"y","experimental":[1]}"#,
        r#"{"auths":null}"#,
        "{}",
        "null",
    ] {
        check(other, "a.example", None);
    }
}

#[test]
fn a_list_of_fields_is_no_object() {
    for file in [
        "[]",
        r#"[{"a.example":{"auth":"dTpw"}}]"#,
        r#"{"auths":[]}"#,
        r#"{"credHelpers":[]}"#,
        "7",
    ] {
        assert!(DockerConfig::parse(file.as_bytes()).is_err(), "{file}");
    }
}

mod corpus;
