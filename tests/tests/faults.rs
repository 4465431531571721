//! Registries and networks that fail, and registries that mean ill: what is repeated, what is
//! resumed, what is refused, and who never learns a secret.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use longshore_model::Digest;
use longshore_testkit::certificate::Authority;
use longshore_testkit::fault::{Fault, FaultProxy, Script};
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{self, Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Answer, Content, Gate, Listen, Recorded, Requests};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::registry::{PASSWORD, USER};
use tempfile::{TempDir, tempdir};

const AUTH: i32 = 4;
const DIGEST: i32 = 5;
const UNAVAILABLE: i32 = 6;
const RATE_LIMITED: i32 = 7;
const PROTOCOL: i32 = 8;
const REALM: i32 = 14;

/// `longshore:correct horse` in base64, as it must not be seen.
const PAIR: &str = "bG9uZ3Nob3JlOmNvcnJlY3QgaG9yc2U";

/// A registry with one image, and a place to pull it to.
struct Scene {
    registry: Registry,
    tree: Tree,
    place: TempDir,
}

impl Scene {
    fn set(tree: Tree) -> Self {
        Self::behind(Registry::builder(), tree)
    }

    fn behind(builder: registry::Builder, tree: Tree) -> Self {
        Self {
            registry: builder.image("a", "1", &tree).start().unwrap(),
            tree,
            place: tempdir().unwrap(),
        }
    }

    fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    fn name(&self) -> String {
        self.registry.authority()
    }

    fn pull(&self) -> Longshore {
        self.pull_from(&self.name())
    }

    fn pull_from(&self, registry: &str) -> Longshore {
        Longshore::pull(&format!("{registry}/a:1"), self.layout())
    }

    /// The one layer that matters, the last.
    fn layer(&self) -> &Digest {
        &self.tree.blobs().last().unwrap().descriptor.digest
    }

    fn asked_for_layer(&self) -> Vec<Recorded> {
        let encoded = self.layer().encoded();
        let requests = self.registry.requests();
        requests.matching(|request| request.path().contains(encoded))
    }

    /// Misbehaves when the layer is asked for.
    fn on_layer(&self, what: Misbehaviour) -> Rule {
        Rule::on(Part::Blob, what).path(self.layer().encoded())
    }

    /// Demands that the pull succeeds and the layout holds the image and nothing else.
    #[track_caller]
    fn arrives(&self, pull: Longshore) -> Ended {
        let ended = pull.run();
        assert_eq!(ended.succeeded(), self.tree.digest().as_str());
        layout::assert_holds(&self.layout(), &self.tree);
        layout::assert_clean(&self.layout());
        ended
    }

    /// Demands that the pull fails and nothing in the layout says otherwise.
    #[track_caller]
    fn fails(&self, pull: Longshore, code: i32, words: &[&str]) -> Ended {
        let ended = pull.run();
        ended.failed(code, words);
        if self.layout().exists() {
            layout::assert_clean(&self.layout());
            assert_eq!(layout::entries(&self.layout()), []);
        }
        ended
    }
}

fn one_layer(bytes: u64) -> Tree {
    Image::new(bytes).layers(1, bytes).build()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn later(code: u16, after: &str) -> Misbehaviour {
    Misbehaviour::RetryAfter(status(code), after.to_owned())
}

fn ranges(requests: &[Recorded]) -> Vec<Option<&str>> {
    let range = |request| Recorded::header(request, "range");
    requests.iter().map(range).collect()
}

mod broken {
    use super::*;

    // F38
    #[test]
    fn rt6_a_blob_goes_on_where_it_broke_off() {
        for size in [200_000, 3_000_000] {
            let scene = Scene::set(one_layer(size));
            let cut = scene.on_layer(Misbehaviour::CutAfter(50_000)).times(1);
            scene.registry.misbehave(cut);
            scene.arrives(scene.pull());
            let asked = scene.asked_for_layer();
            assert_eq!(ranges(&asked), [None, Some("bytes=50000-")]);
            assert_eq!(asked[1].status, Some(StatusCode::PARTIAL_CONTENT));
        }
    }

    #[test]
    fn rt6_one_cut_after_the_other() {
        let scene = Scene::set(one_layer(200_000));
        let rule = scene.on_layer(Misbehaviour::CutAfter(60_000)).times(3);
        scene.registry.misbehave(rule);
        scene.arrives(scene.pull());
        assert_eq!(
            ranges(&scene.asked_for_layer()),
            [
                None,
                Some("bytes=60000-"),
                Some("bytes=120000-"),
                Some("bytes=180000-")
            ]
        );
    }

    #[test]
    fn rt6_a_range_that_is_ignored_or_wrong_costs_one_restart() {
        for (wrong, statuses) in [
            (Misbehaviour::IgnoreRange, &[200, 200][..]),
            (
                Misbehaviour::ContentRange("bytes 1-2/3".to_owned()),
                &[200, 206, 200],
            ),
            (Misbehaviour::Status(status(416)), &[200, 416, 200]),
        ] {
            let scene = Scene::set(one_layer(200_000));
            let cut = scene.on_layer(Misbehaviour::CutAfter(100_000)).times(1);
            let wrong = scene.on_layer(wrong).after(1).times(1);
            scene.registry.misbehave(cut);
            scene.registry.misbehave(wrong);
            scene.arrives(scene.pull());
            let asked = scene.asked_for_layer();
            let found: Vec<_> = asked.iter().map(|it| it.status.unwrap().as_u16()).collect();
            assert_eq!(found, statuses);
        }
    }

    #[test]
    fn a_network_that_cuts_every_connection_is_outlasted() {
        for fault in [Fault::CutAfter(400_000), Fault::ResetAfter(400_000)] {
            let scene = Scene::set(one_layer(2_000_000));
            let proxy = FaultProxy::start(scene.registry.address(), Script::every(fault)).unwrap();
            // The first bytes of every connection are a head: what is left is at least so much.
            let pull = scene.pull_from(&proxy.address().to_string());
            scene.arrives(pull.args(["--plain-http"]));
            assert!(proxy.connections() >= 6, "{}", proxy.connections());
            let asked = scene.asked_for_layer();
            assert!(asked.len() >= 5, "{asked:?}");
            let resumed = asked.iter().filter(|it| it.header("range").is_some());
            assert_eq!(resumed.count(), asked.len() - 1);
        }
    }

    #[test]
    fn rt4_what_gets_no_answer_is_asked_again() {
        for (part, what) in [
            (Part::Manifest, Misbehaviour::HangUp),
            (Part::Manifest, Misbehaviour::CutAfter(10)),
            (Part::Blob, Misbehaviour::HangUp),
        ] {
            let scene = Scene::set(one_layer(1000));
            scene.registry.misbehave(Rule::on(part, what).times(1));
            scene.arrives(scene.pull());
        }
    }

    // RT1, RT2, F31
    #[test]
    fn rt3_what_is_asked_to_wait_is_asked_again() {
        for code in [503, 429] {
            for part in [Part::Manifest, Part::Blob] {
                let scene = Scene::set(one_layer(1000));
                let rule = Rule::on(part, later(code, "0")).times(2);
                scene.registry.misbehave(rule);
                scene.arrives(scene.pull());
                let all = scene.registry.requests();
                assert_eq!(all.count(|it| it.status == Some(status(code))), 2);
            }
        }
    }

    #[test]
    fn rt1_five_attempts_are_enough() {
        for (attempts, words) in [("5", "after 5 attempts"), ("1", "503")] {
            let scene = Scene::set(one_layer(1000));
            scene.registry.misbehave(Rule::always(later(503, "0")));
            let pull = scene.pull().args(["--retry-attempts", attempts]);
            scene.fails(pull, UNAVAILABLE, &[&scene.name(), "503", words]);
            assert_eq!(scene.registry.requests().len().to_string(), attempts);
            assert!(!scene.layout().exists());
        }
    }

    #[test]
    fn rt3_a_long_wait_is_told_at_once() {
        for (code, exit) in [(429, RATE_LIMITED), (503, UNAVAILABLE)] {
            let scene = Scene::set(one_layer(1000));
            scene.registry.misbehave(Rule::always(later(code, "7200")));
            let ended = scene.pull().run();
            ended.failed_with_hint(exit, &[&scene.name(), "7200 seconds"]);
            assert_eq!(scene.registry.requests().len(), 1);
        }
    }

    // RT2
    #[test]
    fn rt2_other_refusals_are_final() {
        for (code, exit) in [(400, PROTOCOL), (403, AUTH), (404, 3), (405, 9), (501, 9)] {
            let scene = Scene::set(one_layer(1000));
            scene
                .registry
                .misbehave(Rule::always(Misbehaviour::Status(status(code))));
            scene.fails(scene.pull(), exit, &[&scene.name(), &code.to_string()]);
            assert_eq!(scene.registry.requests().len(), 1, "{code}");
        }
    }
}

mod wrong {
    use super::*;

    // DG3, RT2
    #[test]
    fn dg3_a_blob_that_was_damaged_once_is_fetched_again() {
        for size in [1000, 3_000_000] {
            let scene = Scene::set(one_layer(size));
            let rule = scene.on_layer(Misbehaviour::Corrupt(700)).times(1);
            scene.registry.misbehave(rule);
            scene.arrives(scene.pull());
            assert_eq!(ranges(&scene.asked_for_layer()), [None, None]);
        }
    }

    #[test]
    fn dg3_a_blob_that_is_always_damaged_is_never_seen() {
        for size in [1000, 3_000_000] {
            let scene = Scene::set(one_layer(size));
            scene
                .registry
                .misbehave(scene.on_layer(Misbehaviour::Corrupt(700)));
            let layer = scene.layer().to_string();
            scene.fails(scene.pull(), DIGEST, &[&layer, "hint: "]);
            assert_eq!(scene.asked_for_layer().len(), 2);
            assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
            // What comes right later is taken.
            scene.registry.behave();
            scene.arrives(scene.pull());
        }
    }

    // What cannot succeed any more is not gone on with, on whatever thread it is.
    #[test]
    fn one_blob_that_fails_ends_the_others() {
        let tree = Image::new(5).layers(4, 2_000_000).build();
        let scene = Scene::set(tree);
        let gate = Gate::new();
        let first = scene.tree.blobs()[1].descriptor.digest.clone();
        let held = Misbehaviour::HoldAfter(100_000, gate.clone());
        scene
            .registry
            .misbehave(Rule::on(Part::Blob, held).path(first.encoded()));
        scene
            .registry
            .misbehave(scene.on_layer(Misbehaviour::Corrupt(1_500_000)));
        let layer = scene.layer().to_string();
        scene.fails(scene.pull(), DIGEST, &[&layer]);
        assert!(!layout::blob(&scene.layout(), &first).exists());
        gate.open();
        scene.registry.behave();
        scene.arrives(scene.pull());
    }

    // LI3
    #[test]
    fn dg3_a_blob_of_another_length_is_refused() {
        let scene = Scene::set(one_layer(50_000));
        for length in [10, 49_000, 60_000] {
            let other = Content::random(7, length);
            scene
                .registry
                .contents()
                .set_blob("a", scene.layer(), other);
            let words = ["bytes", "hint: "];
            scene.fails(scene.pull(), DIGEST, &words);
            assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
        }
    }

    // F36
    #[test]
    fn dg2_a_manifest_that_is_not_what_its_header_says_is_refused() {
        let scene = Scene::set(one_layer(1000));
        let lie = Misbehaviour::DigestHeader(Digest::sha256(b"something else"));
        scene.registry.misbehave(Rule::on(Part::Manifest, lie));
        let words = [&scene.name(), "manifest 1 of a", "hint: "];
        scene.fails(scene.pull(), DIGEST, &words);
        assert!(!scene.layout().exists());
        let get = ["manifest", "get", &format!("{}/a:1", scene.name())];
        Longshore::new(get).run().failed(DIGEST, &words);
    }

    #[test]
    fn dg2_a_manifest_that_is_not_what_was_asked_for_is_refused() {
        let scene = Scene::set(image::index(3, &image::platforms()[..3]));
        let child = &scene.tree.children()[1];
        let corrupt = Misbehaviour::Corrupt(9);
        scene
            .registry
            .misbehave(Rule::on(Part::Manifest, corrupt).path(child.digest().encoded()));
        let all = scene.pull().args(["--all-platforms"]);
        scene.fails(all, DIGEST, &[child.digest().as_str()]);
    }

    // DG6
    #[test]
    fn dg6_a_coded_body_is_refused() {
        for part in [Part::Manifest, Part::Blob] {
            let scene = Scene::set(one_layer(1000));
            scene.registry.misbehave(Rule::on(part, Misbehaviour::Gzip));
            let ended = scene.pull().run();
            assert!(
                matches!(ended.status.code(), Some(DIGEST | PROTOCOL)),
                "{}",
                ended.stderr
            );
            assert!(!layout::blob(&scene.layout(), scene.layer()).exists());
        }
    }

    // F37
    #[test]
    fn li1_a_manifest_beyond_every_limit_is_refused_at_once() {
        for announced in [true, false] {
            let scene = Scene::set(one_layer(1000));
            let mut large = Answer::status(StatusCode::OK)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(Content::random(1, 9 << 20));
            if !announced {
                large = large.unannounced();
            }
            scene
                .registry
                .misbehave(Rule::always(Misbehaviour::Answer(Box::new(large))));
            scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "8388608 bytes"]);
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            "<html>Sign in</html>",
            r#"{"schemaVersion":2}"#,
        ] {
            let scene = Scene::set(one_layer(1000));
            let page = Answer::status(StatusCode::OK)
                .header(CONTENT_TYPE, HeaderValue::from_static("text/html"))
                .body(body);
            scene
                .registry
                .misbehave(Rule::always(Misbehaviour::Answer(Box::new(page))));
            scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "manifest"]);
            assert!(!scene.layout().exists());
        }
    }

    // OU1, F52
    #[test]
    fn ou1_what_a_registry_says_cannot_reach_the_terminal_raw() {
        let scene = Scene::set(one_layer(1000));
        let message = "no\u{1b}]0;owned\u{7}\r\nerror: \u{202e}nothing\u{9b}31m";
        let body = serde_json::json!({"errors": [{"code": "DENIED", "message": message}]});
        let denied = Answer::json(&body).with_status(StatusCode::FORBIDDEN);
        scene
            .registry
            .misbehave(Rule::always(Misbehaviour::Answer(Box::new(denied))));
        let ended = scene.fails(scene.pull(), AUTH, &["DENIED", r"\u{1b}]0;owned"]);
        let raw = |character: char| {
            character.is_control() && character != '\n' || character == '\u{202e}'
        };
        assert!(!ended.stderr.contains(raw), "{:?}", ended.stderr);
        assert_eq!(
            ended
                .stderr
                .lines()
                .filter(|it| it.starts_with("error"))
                .count(),
            1
        );
    }
}

/// A place the registry sends its users to: it has the blobs too, and keeps what it is sent.
fn elsewhere(listen: Listen, tree: &Tree) -> Recorder {
    let blobs: Vec<_> = tree.all_blobs().into_iter().cloned().collect();
    Recorder::start(listen, move |request| {
        let wanted = |digest: &Digest| request.path().contains(digest.encoded());
        let found = blobs.iter().find(|blob| wanted(&blob.descriptor.digest));
        match found {
            Some(blob) => Answer::status(StatusCode::OK).body(blob.content.clone()),
            None => Answer::status(StatusCode::NOT_FOUND),
        }
    })
    .unwrap()
}

/// Demands that no request holds a secret, or anything that a secret would be in.
#[track_caller]
fn assert_innocent(requests: &Requests) {
    assert!(!requests.is_empty());
    for secret in [PASSWORD, PAIR, USER] {
        assert!(!requests.hold(secret), "{requests:?}");
    }
    assert_eq!(requests.count(Recorded::is_authorized), 0, "{requests:?}");
    assert_eq!(requests.count(|it| it.headers.contains_key("cookie")), 0);
}

mod redirected {
    use super::*;

    // F28, CR1
    #[test]
    fn rd1_a_redirect_to_another_origin_carries_no_secret() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let realm = format!("http://{}", tokens.address());
        for demand in ["Basic", "Bearer"] {
            for listen in [
                Listen::loopback(),
                Listen::loopback().address([127, 0, 0, 2].into()),
            ] {
                let builder = match demand {
                    "Basic" => Registry::builder().basic(USER, PASSWORD),
                    _ => Registry::builder().bearer(&tokens),
                };
                let scene = Scene::behind(builder, one_layer(3000));
                let elsewhere = elsewhere(listen, &scene.tree);
                let away = Misbehaviour::Redirect(format!("{}{{path}}", elsewhere.url()));
                scene.registry.misbehave(Rule::on(Part::Blob, away));
                let pull = scene.pull().login(USER, PASSWORD);
                scene.arrives(pull.args(["--allow-realm", &realm]));
                let home = scene.registry.requests();
                assert!(
                    home.count(|it| it
                        .header("authorization")
                        .is_some_and(|it| it.starts_with(demand)))
                        > 0
                );
                assert_eq!(elsewhere.requests().len(), scene.tree.blobs().len());
                assert_innocent(elsewhere.requests());
            }
        }
    }

    #[test]
    fn rd1_whoever_has_been_abroad_comes_home_a_stranger() {
        let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(3000));
        let home = scene.registry.url();
        let back = Recorder::start(Listen::loopback(), move |request| {
            let location = format!("{home}{}", request.path());
            Answer::status(StatusCode::TEMPORARY_REDIRECT)
                .header(LOCATION, HeaderValue::from_str(&location).unwrap())
        })
        .unwrap();
        let away = Misbehaviour::Redirect(format!("{}{{path}}", back.url()));
        scene
            .registry
            .misbehave(Rule::on(Part::Blob, away).times(1));
        let pull = scene.pull().login(USER, PASSWORD);
        scene.fails(pull, AUTH, &[&scene.name()]);
        assert_innocent(back.requests());
        let strangers = scene.registry.requests_to(Part::Blob);
        assert!(
            strangers.iter().any(|it| !it.is_authorized()),
            "{strangers:?}"
        );
    }

    #[test]
    fn cr5_a_challenge_from_another_origin_gets_no_credentials() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let bearer = format!("Bearer realm=\"{}\",service=\"x\"", tokens.realm());
        for challenge in ["Basic realm=\"here\"", &bearer] {
            let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(3000));
            let value = HeaderValue::from_str(challenge).unwrap();
            let greedy = Recorder::start(Listen::loopback(), move |_| {
                Answer::status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, value.clone())
            })
            .unwrap();
            let away = Misbehaviour::Redirect(format!("{}{{path}}", greedy.url()));
            scene.registry.misbehave(Rule::on(Part::Blob, away));
            let pull = scene.pull().login(USER, PASSWORD);
            let foreign = greedy.address().to_string();
            scene.fails(pull, AUTH, &[&scene.name(), &foreign]);
            assert_innocent(greedy.requests());
            assert!(!tokens.requests().hold(PASSWORD), "{:?}", tokens.requests());
        }
    }

    // F30
    #[test]
    fn rd2_https_does_not_lead_to_http() {
        let authority = Authority::new();
        let tls = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
        let scene = Scene::behind(Registry::builder().listen(tls), one_layer(3000));
        let elsewhere = elsewhere(Listen::loopback(), &scene.tree);
        let away = Misbehaviour::Redirect(format!("{}{{path}}", elsewhere.url()));
        scene.registry.misbehave(Rule::on(Part::Blob, away));
        scene.fails(
            trusting(&scene, &authority),
            PROTOCOL,
            &[&scene.name(), "redirect"],
        );
        assert_eq!(elsewhere.connections(), 0);
    }

    #[test]
    fn rd2_http_of_our_own_host_is_a_proxy_that_knows_no_better() {
        let authority = Authority::new();
        let tls = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
        let builder = Registry::builder().listen(tls).basic(USER, PASSWORD);
        let scene = Scene::behind(builder, one_layer(3000));
        let home = Misbehaviour::Redirect(format!("http://{}{{path}}", scene.name()));
        scene
            .registry
            .misbehave(Rule::on(Part::Blob, home).times(1));
        scene.arrives(trusting(&scene, &authority).login(USER, PASSWORD));
    }

    fn trusting(scene: &Scene, authority: &Authority) -> Longshore {
        let ca = scene.place.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        scene.pull().args([Path::new("--ca-file"), &ca])
    }

    #[test]
    fn rd2_nobody_is_led_to_where_clouds_keep_secrets() {
        for location in [
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://0.0.0.0/",
            "ftp://127.0.0.1/",
            "http://user:pass@127.0.0.1/",
        ] {
            let scene = Scene::set(one_layer(3000));
            let away = Misbehaviour::Redirect(location.to_owned());
            scene.registry.misbehave(scene.on_layer(away));
            scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "redirect"]);
            assert_eq!(scene.asked_for_layer().len(), 1, "{location}");
        }
    }

    #[test]
    fn rd1_a_circle_ends() {
        let scene = Scene::set(one_layer(3000));
        let round = Misbehaviour::Redirect(format!("{}{{path}}", scene.registry.url()));
        scene.registry.misbehave(scene.on_layer(round));
        scene.fails(scene.pull(), PROTOCOL, &[&scene.name(), "5 redirects"]);
        assert_eq!(scene.asked_for_layer().len(), 6);
    }
}

mod tokens {
    use super::*;

    // F21, CR7
    #[test]
    fn a_token_that_is_refused_halfway_is_renewed_once() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let tree = image::many_layers(1, 40);
        let scene = Scene::behind(Registry::builder().bearer(&tokens), tree);
        // Every token is worth nothing from the first manifest on.
        let registry = Arc::new(scene.registry);
        let weak = Arc::downgrade(&registry);
        registry.requests().watch(move |request| {
            if Part::of(request) == Part::Manifest && request.status == Some(StatusCode::OK) {
                weak.upgrade().as_deref().map(Registry::revoke_tokens);
            }
        });
        let to = scene.place.path().join("layout");
        let realm = format!("http://{}", tokens.address());
        let pull = Longshore::pull(&format!("{}/a:1", registry.authority()), &to);
        let ended = pull
            .login(USER, PASSWORD)
            .args(["--allow-realm", &realm])
            .run();
        assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
        layout::assert_holds(&to, &scene.tree);
        assert_eq!(tokens.requests().len(), 2, "{:?}", tokens.requests());
    }

    // CR7
    #[test]
    fn cr7_tokens_that_never_do_are_not_asked_for_for_ever() {
        let tokens = TokenServer::builder().start().unwrap();
        let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
        let refused = Answer::status(StatusCode::UNAUTHORIZED).header(
            WWW_AUTHENTICATE,
            HeaderValue::from_str(&format!(
                "Bearer realm=\"{}\",service=\"longshore-testkit\",error=\"invalid_token\"",
                tokens.realm()
            ))
            .unwrap(),
        );
        scene
            .registry
            .misbehave(Rule::always(Misbehaviour::Answer(Box::new(refused))));
        scene.fails(scene.pull(), AUTH, &[&scene.name()]);
        assert_eq!(tokens.requests().len(), 2, "{:?}", tokens.requests());
        assert!(!scene.layout().exists());
    }

    #[test]
    fn re6_a_token_request_is_not_led_elsewhere() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
        let elsewhere = Recorder::silent().unwrap();
        let location = format!("{}/token", elsewhere.url());
        tokens.answer_always(
            Answer::status(StatusCode::TEMPORARY_REDIRECT)
                .header(LOCATION, HeaderValue::from_str(&location).unwrap()),
        );
        let realm = format!("http://{}", tokens.address());
        let pull = scene.pull().login(USER, PASSWORD);
        let ended = pull.args(["--allow-realm", &realm]).run();
        assert!(!ended.status.success());
        assert_eq!(elsewhere.connections(), 0);
    }

    #[test]
    fn re1_a_realm_that_is_none_is_refused() {
        let authority = Authority::new();
        let listener = Recorder::silent().unwrap();
        for realm in [
            format!("http://{}/token", listener.address()),
            format!("https://u:p@{}/token", listener.address()),
            "file:///etc/passwd".to_owned(),
            "/token".to_owned(),
            "https://169.254.169.254/token".to_owned(),
        ] {
            let tokens = TokenServer::builder().start().unwrap();
            let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
            let builder = Registry::builder()
                .listen(Listen::loopback().tls(authority.server(&["127.0.0.1"])))
                .bearer(&tokens)
                .challenges(&[&challenge]);
            let scene = Scene::behind(builder, one_layer(1000));
            let ca = scene.place.path().join("ca.pem");
            std::fs::write(&ca, authority.pem()).unwrap();
            for pull in [scene.pull(), scene.pull().login(USER, PASSWORD)] {
                let pull = pull.args([Path::new("--ca-file"), &ca]);
                scene.fails(pull, REALM, &[&scene.name()]);
                assert!(!scene.layout().exists());
            }
        }
        assert_eq!(listener.connections(), 0);
    }

    // CR7
    #[test]
    fn cr7_a_refusal_of_the_token_server_is_final() {
        for code in [401, 403] {
            let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
            tokens.answer_always(Answer::status(status(code)));
            let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
            let realm = format!("http://{}", tokens.address());
            let pull = scene.pull().login(USER, PASSWORD);
            let pull = pull.args(["--allow-realm", &realm]);
            scene.fails(pull, AUTH, &[&scene.name()]);
            assert_eq!(tokens.requests().len(), 1, "{code}");
        }
    }

    // F14, F17
    #[test]
    fn f17_a_scheme_nobody_knows_gets_nothing() {
        for challenge in [
            "Negotiate",
            "Digest realm=\"x\", nonce=\"y\"",
            "Bearer service=\"x\"",
        ] {
            let builder = Registry::builder()
                .basic(USER, PASSWORD)
                .challenges(&[challenge]);
            let scene = Scene::behind(builder, one_layer(1000));
            scene.fails(scene.pull().login(USER, PASSWORD), AUTH, &[&scene.name()]);
            assert_innocent(scene.registry.requests());
        }
    }
}

mod secrets {
    use super::*;

    /// Demands that nothing of a secret is said; the tokens are those the registry was shown.
    #[track_caller]
    fn assert_discreet(ended: &Ended, requests: &Requests) {
        let shown = |request: &Recorded| {
            let value = request.header("authorization")?;
            Some(value.split_once(' ')?.1.to_owned())
        };
        let mut secrets: Vec<_> = requests.all().iter().filter_map(shown).collect();
        secrets.extend([PASSWORD, "correct+horse", "correct%20horse", PAIR].map(str::to_owned));
        for secret in secrets {
            assert!(
                !ended.stderr.contains(&secret),
                "{secret}:\n{}",
                ended.stderr
            );
            assert!(!ended.stdout.contains(&secret), "{secret}");
        }
    }

    // F54, OU3, OU4
    #[test]
    fn ou3_no_secret_is_said_however_much_is() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let realm = format!("http://{}", tokens.address());
        for demand in ["Basic", "Bearer"] {
            let builder = match demand {
                "Basic" => Registry::builder().basic(USER, PASSWORD),
                _ => Registry::builder().bearer(&tokens),
            };
            let scene = Scene::behind(builder, one_layer(100_000));
            let elsewhere = elsewhere(Listen::loopback(), &scene.tree);
            let signed = "{path}?X-Amz-Signature=s1gn4tur3&digest=d";
            let away = Misbehaviour::Redirect(format!("{}{signed}", elsewhere.url()));
            scene.registry.misbehave(scene.on_layer(away));
            let cut = Misbehaviour::CutAfter(50_000);
            scene.registry.misbehave(Rule::on(Part::Blob, cut).times(1));
            for verbose in ["-v", "-vv", "-vvv"] {
                let pull = |to: &str| {
                    let to = scene.place.path().join(format!("{to}{verbose}"));
                    let pull = Longshore::pull(&format!("{}/a:1", scene.name()), to);
                    pull.args([verbose, "--allow-realm", &realm])
                };
                let ended = pull("right").login(USER, PASSWORD).run();
                assert_eq!(ended.succeeded(), scene.tree.digest().as_str());
                assert_discreet(&ended, scene.registry.requests());
                for said in [
                    "GET ",
                    "/v2/a/manifests/1 401",
                    "/v2/a/manifests/1 200",
                    "digest=d",
                ] {
                    assert!(ended.stderr.contains(said), "{said}:\n{}", ended.stderr);
                }
                assert!(!ended.stderr.contains("s1gn4tur3"), "{}", ended.stderr);
                let wrong = pull("wrong").login(USER, "0ther-p4ss").run();
                assert_eq!(wrong.status.code(), Some(AUTH), "{}", wrong.stderr);
                assert!(!wrong.stderr.contains("0ther-p4ss"), "{}", wrong.stderr);
                assert_discreet(&wrong, scene.registry.requests());
            }
            assert_innocent(elsewhere.requests());
        }
    }

    // F54
    #[test]
    fn ou3_no_secret_stands_in_an_error() {
        let tokens = TokenServer::builder().user(USER, PASSWORD).start().unwrap();
        let realm = format!("http://{}", tokens.address());
        let scene = Scene::behind(Registry::builder().bearer(&tokens), one_layer(1000));
        for (what, code) in [
            (Misbehaviour::Status(status(403)), AUTH),
            (Misbehaviour::Status(status(404)), 3),
            (
                Misbehaviour::Redirect("http://169.254.169.254/?t=s3cr3t".to_owned()),
                PROTOCOL,
            ),
            (later(429, "7200"), RATE_LIMITED),
        ] {
            scene.registry.behave();
            scene.registry.misbehave(Rule::always(what));
            let pull = scene.pull().login(USER, PASSWORD);
            let ended = pull.args(["--allow-realm", &realm]).run();
            ended.failed(code, &[&scene.name()]);
            assert_discreet(&ended, scene.registry.requests());
            assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
        }
        // What the token server says is the registry's business, not the terminal's.
        let leak =
            Answer::json(&serde_json::json!({"token": "bad token s3cr3t", "details": PASSWORD}));
        tokens.answer_always(leak);
        let pull = scene.pull().login(USER, PASSWORD);
        let ended = pull.args(["-vvv", "--allow-realm", &realm]).run();
        assert!(!ended.status.success());
        assert_discreet(&ended, scene.registry.requests());
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
    }

    // OU3
    #[test]
    fn ou3_a_malformed_docker_entry_is_not_repeated() {
        let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(1000));
        let auths = serde_json::json!({"auths": {scene.name(): {"auth": "s3cr3t not base64"}}});
        let pull = scene.pull().docker_config(&auths.to_string());
        let ended = scene.fails(pull, 1, &[&scene.name(), "\"auths\""]);
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
    }

    // CR9
    #[test]
    fn cr9_a_password_with_a_line_in_it_is_refused_unsaid() {
        let scene = Scene::behind(Registry::builder().basic(USER, PASSWORD), one_layer(1000));
        for password in ["s3cr3t\nx", "s3cr3t\u{0}", ""] {
            let pull = scene.pull().login(USER, password);
            let ended = pull.run();
            assert!(!ended.status.success(), "{password:?}");
            assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
            assert!(!scene.registry.requests().hold("s3cr3t\nx"));
        }
    }
}
