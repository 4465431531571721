use std::fs;
use std::path::Path;

use longshore_origin::Secret;

use super::*;

fn basic(password: &str) -> Option<Credential> {
    Some(Credential::Basic {
        username: "u".to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

/// A configuration with the user `u` and this password for each of these registries.
fn auths(password: &str, registries: &[&str]) -> String {
    let entry =
        |registry: &&str| format!(r#""{registry}":{{"username":"u","password":"{password}"}}"#);
    let entries: Vec<_> = registries.iter().map(entry).collect();
    format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
}

/// The variables and the home directory of a test.
struct Environment<'a> {
    variables: &'a [(&'a str, String)],
    home: Option<&'a Path>,
}

impl Environment<'_> {
    fn read(&self) -> Result<DockerCredentials, DockerConfigError> {
        let variable = |name: &str| {
            let mut variables = self.variables.iter();
            let value = variables.find(|(known, _)| *known == name);
            value.map(|(_, value)| value.into())
        };
        DockerCredentials::from(variable, self.home.map(Into::into))
    }
}

#[tokio::test]
async fn the_first_configuration_with_an_entry_is_used() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir_all(path("home/.docker")).unwrap();
    fs::create_dir(path("config")).unwrap();
    let write = |name: &str, text: String| fs::write(path(name), text).unwrap();
    write("auth.json", auths("2", &["b", "c", "e/team"]));
    write("config/config.json", auths("3", &["b", "c", "d"]));
    write(
        "home/.docker/config.json",
        auths("4", &["a", "b", "c", "d", "e"]),
    );
    let text = |name: &str| path(name).display().to_string();
    let variables = [
        ("DOCKER_AUTH_CONFIG", auths("1", &["b"])),
        ("REGISTRY_AUTH_FILE", text("auth.json")),
        ("DOCKER_CONFIG", text("config")),
    ];
    let home = path("home");
    let environment = Environment {
        variables: &variables,
        home: Some(&home),
    };
    let credentials = environment.read().unwrap();
    for (registry, repository, expected) in [
        ("a", "app", basic("4")),
        ("b", "app", basic("1")),
        ("c", "app", basic("2")),
        ("d", "app", basic("3")),
        ("e", "team/app", basic("2")),
        ("e", "app", basic("4")),
        ("f", "app", None),
    ] {
        let found = credentials.lookup_in(registry, repository).await.unwrap();
        assert_eq!(found, expected, "{registry}/{repository}");
    }
}

#[tokio::test]
async fn missing_files_and_variables_are_skipped() {
    let empty = ["DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"];
    let empty = empty.map(|name| (name, String::new()));
    let absent = [
        ("REGISTRY_AUTH_FILE", "/nonexistent/auth.json".to_owned()),
        ("DOCKER_CONFIG", "/nonexistent".to_owned()),
        ("DOCKER_AUTH_CONFIG", " ".to_owned()),
    ];
    for variables in [&[][..], &empty, &absent] {
        for home in [None, Some(Path::new("")), Some(Path::new("/nonexistent"))] {
            let credentials = Environment { variables, home }.read().unwrap();
            assert_eq!(credentials.lookup("a").await.unwrap(), None);
        }
    }
}

#[test]
fn the_error_for_a_malformed_variable_does_not_contain_its_value() {
    let read = |value: String| {
        let variables = &[("DOCKER_AUTH_CONFIG", value)];
        let environment = Environment {
            variables,
            home: None,
        };
        environment.read().unwrap_err()
    };
    let error = read("hunter2".to_owned());
    assert_eq!(
        error.to_string(),
        "the value of DOCKER_AUTH_CONFIG is not a Docker configuration"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = read(" ".repeat(1024 * 1024 + 1));
    assert_eq!(
        error.to_string(),
        "the value of DOCKER_AUTH_CONFIG is not UTF-8, or larger than 1048576 bytes"
    );
}

#[cfg(unix)]
mod helpers {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    /// Three helpers: one has a credential for the registry `a`, one has none, and one fails.
    fn programs() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in [
            ("known", r#"echo '{"Username":"u","Secret":"helper"}'"#),
            (
                "none",
                "echo 'credentials not found in native keychain'; exit 1",
            ),
            ("locked", "echo 'the keychain is locked'; exit 1"),
        ] {
            let program = directory.path().join(format!("docker-credential-{name}"));
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    fn config(text: &str) -> DockerConfig {
        DockerConfig::parse(text.as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn cr11_the_answer_of_a_helper_comes_before_auths() {
        let programs = programs();
        let credentials = DockerCredentials::new([
            config(
                r#"{"auths":{"a":{"auth":"dTpw"},"b":{"auth":"dTpw"},"c":{"auth":"dTpw"}},
                "credsStore":"known","credHelpers":{"b":"none","c":""}}"#,
            ),
            config(&auths("second", &["a", "b"])),
        ])
        .helper_path(programs.path());
        for (registry, expected) in [
            ("a", basic("helper")),
            // After "not found" the next configuration is used, but not another store of the same
            // one.
            ("b", basic("second")),
            ("c", basic("p")),
        ] {
            let found = credentials.lookup(registry).await.unwrap();
            assert_eq!(found, expected, "{registry}");
            let renewable = CredentialSource::is_renewable(&credentials, registry);
            assert_eq!(renewable, registry != "c", "{registry}");
        }
    }

    #[tokio::test]
    async fn cr11_after_a_failure_no_other_store_is_tried() {
        let programs = programs();
        for (helper, reason) in [
            (
                "locked",
                "the credential helper docker-credential-locked failed (exit status: 1): the \
                 keychain is locked",
            ),
            (
                "absent",
                "the credential helper docker-credential-absent is not installed: no directory \
                 in PATH has it",
            ),
        ] {
            let first = format!(r#"{{"auths":{{"a":{{"auth":"dTpw"}}}},"credsStore":"{helper}"}}"#);
            let second = config(&auths("second", &["a"]));
            let credentials =
                DockerCredentials::new([config(&first), second]).helper_path(programs.path());
            let error = credentials.lookup("a").await.unwrap_err();
            assert!(error.is_unavailable());
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), reason);
        }
        // A malformed entry is an error and is not skipped.
        let malformed = config(r#"{"auths":{"a":{"auth":"%"}}}"#);
        let credentials = DockerCredentials::new([malformed, config(&auths("2", &["a"]))]);
        assert!(!credentials.lookup("a").await.unwrap_err().is_unavailable());
    }
}
