use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use longshore_origin::Secret;
use tempfile::TempDir;

use super::*;

/// A limit that no step of these tests reaches.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with the program of a helper.
fn program(name: &str, script: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    install(directory.path(), name, script);
    directory
}

fn install(directory: &Path, name: &str, script: &str) {
    let program = directory.join(format!("{PREFIX}{name}"));
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn helpers(directory: &Path) -> Helpers {
    Helpers {
        path: Some(directory.into()),
        limit: PATIENCE,
    }
}

async fn ask(script: &str) -> Result<Option<Credential>, String> {
    let directory = program("test", script);
    let answer = helpers(directory.path()).get("test", "r.example").await;
    answer.map_err(|error| error.to_string())
}

fn basic(username: &str, password: &str) -> Option<Credential> {
    Some(Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

/// Whether the process with this ID is running.
fn is_alive(pid: &str) -> bool {
    let signal = std::process::Command::new("kill")
        .args(["-0", pid])
        .output();
    signal.unwrap().status.success()
}

#[tokio::test]
async fn cr11_a_helper_gets_the_name_and_prints_the_credential() {
    let directory = program(
        "test",
        r#"read -r name || true
        printf '{"ServerURL":"x","Username":"%s %s","Secret":"%s"}' "$1" "$#" "$name""#,
    );
    let helpers = helpers(directory.path());
    for (registry, server) in [
        ("r.example:5000", "r.example:5000"),
        ("R.example", "r.example"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("registry-1.docker.io", "https://index.docker.io/v1/"),
        ("$(reboot);`x`", "$(reboot);`x`"),
    ] {
        let found = helpers.get("test", registry).await.unwrap();
        assert_eq!(found, basic("get 1", server));
    }
}

#[tokio::test]
async fn the_user_token_means_an_identity_token() {
    let found = ask(r#"echo '{"Username":"<token>","Secret":"id"}'"#).await;
    let token = Credential::IdentityToken(Secret::new("id".to_owned()));
    assert_eq!(found.unwrap(), Some(token));
}

#[tokio::test]
async fn cr11_not_found_means_no_credential() {
    for text in [
        "credentials not found in native keychain",
        "no credentials username",
        "no credentials server URL",
    ] {
        assert_eq!(ask(&format!("echo '{text}'; exit 1")).await, Ok(None));
    }
    let empty = ask(r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#).await;
    assert_eq!(empty, Ok(None));
}

#[tokio::test]
async fn cr11_other_messages_are_failures() {
    let fails = "the credential helper docker-credential-test failed (exit status: 3)";
    for (script, said) in [
        ("echo 'no such keychain'; exit 3", ": no such keychain"),
        ("echo 'locked' >&2; exit 3", ": locked"),
        ("echo 'out'; echo 'err' >&2; exit 3", ": out"),
        ("exit 3", ""),
        // OU3
        (r#"echo '{"Username":"u","Secret":"hunter2"}'; exit 3"#, ""),
        (
            r#"echo '{"Secret":"hunter2"}'; echo 'locked' >&2; exit 3"#,
            ": locked",
        ),
        (r#"echo 'Secret: hunter2' >&2; exit 3"#, ""),
        // OU1
        (r"printf '\033[2J\r\n' >&2; exit 3", r": \u{1b}[2J"),
        (
            "echo 'Credentials not found in native keychain, or so'; exit 3",
            ": Credentials not found in native keychain, or so",
        ),
    ] {
        assert_eq!(ask(script).await, Err(format!("{fails}{said}")), "{script}");
    }
    let long = ask("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 3").await;
    assert!(long.unwrap_err().len() < 700);
}

// OU3: what cannot be read may hold the secret.
#[tokio::test]
async fn ou3_a_malformed_answer_is_not_quoted() {
    for (script, at) in [
        ("echo hunter2", "line 1 column 1"),
        ("true", "line 1 column 1"),
        (
            r#"echo '{"Username":"u","Secret":["hunter2"]}'"#,
            "line 1 column 1",
        ),
        (r#"echo '{"Username":"u" "hunter2"}'"#, "line 1 column 17"),
        (r#"printf '[\n"hunter2"]'"#, "line 1 column 1"),
    ] {
        let error = ask(script).await.unwrap_err();
        assert!(
            error.starts_with(
                "the credential helper docker-credential-test gave a malformed answer"
            ),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains(at), "{script}: {error}");
    }
}

#[tokio::test]
async fn cr11_an_answer_above_256_kib_is_refused() {
    let answer = |bytes: usize| {
        format!(
            r#"printf '{{"Username":"u","Secret":"'
            head -c {bytes} /dev/zero | tr '\0' x
            printf '"}}'"#
        )
    };
    let room = HELPER_OUTPUT_LIMIT_BYTES - r#"{"Username":"u","Secret":""}"#.len();
    let found = ask(&answer(room)).await.unwrap();
    assert_eq!(found, basic("u", &"x".repeat(room)));
    assert_eq!(
        ask(&answer(room + 1)).await.unwrap_err(),
        "the credential helper docker-credential-test printed more than 262144 bytes"
    );
    // Endless output is cut off too.
    assert!(ask("cat /dev/zero").await.is_err());
}

#[tokio::test]
async fn cr11_a_helper_that_does_not_end_is_killed() {
    let directory = program("test", "echo $$ > \"${0%/*}/pid\"; exec sleep 1000");
    let helpers = Helpers {
        limit: Duration::from_millis(300),
        ..helpers(directory.path())
    };
    let error = helpers.get("test", "r.example").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the credential helper docker-credential-test gave no answer within 0.3 seconds"
    );
    if let Ok(pid) = fs::read_to_string(directory.path().join("pid")) {
        assert!(!is_alive(pid.trim()));
    }
}

#[tokio::test]
async fn rt9_a_helper_is_killed_when_the_lookup_is_dropped() {
    let directory = program("test", "echo $$ > \"${0%/*}/pid\"; exec sleep 1000");
    let helpers = helpers(directory.path());
    let mut lookup = Box::pin(helpers.get("test", "r.example"));
    let pid = loop {
        let step = Duration::from_millis(5);
        let ended = tokio::time::timeout(step, &mut lookup).await;
        assert!(ended.is_err(), "it ended by itself");
        match fs::read_to_string(directory.path().join("pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ => {}
        }
    };
    assert!(is_alive(pid.trim()));
    drop(lookup);
    let dropped = Instant::now();
    while is_alive(pid.trim()) {
        assert!(dropped.elapsed() < PATIENCE, "still running");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn cr11_only_the_absolute_directories_of_path_are_searched() {
    // The helper is in the working directory, and in every directory of this `PATH`.
    let directory = program("test", r#"echo '{"Username":"u","Secret":"p"}'"#);
    let here = env::current_dir().unwrap();
    let up = "../".repeat(here.components().count());
    let relative = format!("{up}{}", directory.path().display());
    assert!(Path::new(&relative).join("docker-credential-test").exists());
    let absolute = directory.path().display();
    for (path, is_found) in [
        ("".to_owned(), false),
        (relative.clone(), false),
        (format!(":.:./:{relative}:"), false),
        (format!("::/nonexistent:{absolute}"), true),
    ] {
        let helpers = Helpers {
            path: Some(path.clone().into()),
            limit: PATIENCE,
        };
        let found = helpers.get("test", "r.example").await;
        let found = found.map_err(|error| error.to_string());
        let missing = "the credential helper docker-credential-test is not installed: no \
                       directory in PATH has it";
        let expected = match is_found {
            true => Ok(basic("u", "p")),
            false => Err(missing.to_owned()),
        };
        assert_eq!(found, expected, "{path:?}");
    }
}

#[tokio::test]
async fn cr11_a_name_is_never_a_path_or_a_command() {
    let directory = program("x", "echo '{}'");
    let helpers = helpers(directory.path());
    for name in [
        "",
        "../x",
        "/bin/sh",
        "x y",
        "x;y",
        "x\u{1b}[2J",
        "x\n",
        "é",
    ] {
        let error = helpers.get(name, "r.example").await.unwrap_err();
        assert!(matches!(error.reason, HelperReason::Name), "{name:?}");
        assert!(!error.to_string().chars().any(char::is_control));
    }
    let error = helpers.get("x", "r.example\nother").await.unwrap_err();
    assert!(matches!(error.reason, HelperReason::ServerName));
    // A file that is not executable is not a helper, and neither is a directory.
    let plain = directory.path().join("docker-credential-plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::create_dir(directory.path().join("docker-credential-dir")).unwrap();
    for name in ["plain", "dir", "absent"] {
        let error = helpers.get(name, "r.example").await.unwrap_err();
        assert!(matches!(error.reason, HelperReason::NotInstalled), "{name}");
    }
}
