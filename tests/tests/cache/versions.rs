//! The protocols of the listeners, judged by curl.

use std::process::Command;

use longshore_testkit::certificate::Authority;
use longshore_tests::program;

use super::*;

/// Runs curl, and returns the version of HTTP, the status and the body.
fn curl(program: &Path, arguments: &[&str], url: &str) -> (String, Vec<u8>) {
    let mut command = Command::new(program);
    command
        .env_clear()
        .args(["--silent", "--show-error", "--noproxy", "*"]);
    command.args(["--write-out", "%{stderr}%{http_version} %{http_code}"]);
    let output = command.args(arguments).arg(url).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (said, output.stdout)
}

#[test]
fn clients_use_http_1_or_http_2_in_the_clear() {
    let Some(program) = program::find("curl", "curl") else {
        return;
    };
    let tree = image_of(1);
    let upstream = kit("library/app", "1", &tree);
    let cache = Serve::of_hub(&upstream.url());
    let url = format!("{}/v2/library/app/manifests/1", cache.url());
    for (option, expected) in [
        ("--http1.1", "1.1 200"),
        ("--http2-prior-knowledge", "2 200"),
    ] {
        let (said, body) = curl(&program, &[option], &url);
        assert_eq!((said.as_str(), &body[..]), (expected, &tree.document()[..]));
    }
}

#[test]
fn clients_choose_http_1_or_http_2_over_tls() {
    let Some(program) = program::find("curl", "curl") else {
        return;
    };
    let tree = image_of(1);
    let upstream = kit("library/app", "1", &tree);
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("cert.pem"), identity.certificate_pem()).unwrap();
    fs::write(at("key.pem"), identity.key_pem()).unwrap();
    fs::write(at("ca.pem"), authority.pem()).unwrap();
    let cache = Serve::builder().upstream("docker.io", &upstream.url());
    let cache = cache.tls(&at("cert.pem"), &at("key.pem")).start();
    let url = format!("https://{}/v2/library/app/manifests/1", cache.authority());
    let ca = at("ca.pem").display().to_string();
    for (option, expected) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let (said, body) = curl(&program, &[option, "--cacert", &ca], &url);
        assert_eq!((said.as_str(), &body[..]), (expected, &tree.document()[..]));
    }
}
