//! An upstream that hangs, at each stage of an answer.
//!
//! Clients give up when no head comes for 30 seconds. The time the cache has for it is short here.

use std::net::TcpListener;

use longshore_testkit::certificate::Authority;
use longshore_testkit::fault::{Fault, FaultProxy, Script};
use longshore_testkit::registry::{Misbehaviour, Rule};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Gate, Listen};

use super::*;

/// Short times for what takes 25 s and 2 s by default; every tag is stale at once.
fn short(serve: serve::Builder) -> serve::Builder {
    serve
        .env("LONGSHORE_SERVE_HEAD_BUDGET", "1s")
        .env("LONGSHORE_SERVE_STALE_WAIT", "200ms")
        .env("LONGSHORE_SERVE_TAG_TTL", "1ms")
}

/// Demands the answer for "the upstream hangs and nothing is cached".
#[track_caller]
fn assert_gave_up(what: &str, answer: &client::Answer) {
    assert_eq!(answer.status, 504, "{what}");
    let retry = answer.header("retry-after");
    assert!(
        retry.is_some_and(|it| it.parse::<u32>().is_ok()),
        "{what}: {retry:?}"
    );
}

/// Demands that the whole image comes, soon after the upstream has recovered.
#[track_caller]
fn assert_recovers(address: SocketAddr, tree: &Tree) {
    wait_until("the cache asks again", || {
        get(address, &manifest(APP, "1")).status == 200
    });
    pull(address, APP, "1", tree);
}

#[test]
fn ca8_an_upstream_that_hangs_before_or_in_a_manifest_is_given_up_in_time() {
    for (what, part) in [("head", None), ("body", Some(100))] {
        for warm in [false, true] {
            let scene = Scene::with(|registry| registry, short);
            if warm {
                scene.pull();
            }
            let gate = Gate::new();
            let rule = match part {
                None => Misbehaviour::Hold(gate.clone()),
                Some(bytes) => Misbehaviour::HoldAfter(bytes, gate.clone()),
            };
            scene.registry.misbehave(Rule::on(Part::Manifest, rule));
            let answer = get(scene.address(), &manifest(APP, "1"));
            if warm {
                assert!(answer.whole() == scene.tree.document(), "{what}");
            } else {
                assert_gave_up(what, &answer);
            }
            gate.open();
            scene.registry.behave();
            assert_recovers(scene.address(), &scene.tree);
        }
    }
}

#[test]
fn ca8_an_upstream_that_hangs_before_the_head_of_a_blob_is_given_up_in_time() {
    let scene = Scene::with(|registry| registry, short);
    let gate = Gate::new();
    let hold = Misbehaviour::Hold(gate.clone());
    scene.registry.misbehave(Rule::on(Part::Blob, hold));
    let path = blob(APP, &scene.layer().descriptor.digest);
    for method in ["GET", "HEAD"] {
        assert_gave_up(method, &ask(scene.address(), method, &path));
    }
    gate.open();
    scene.registry.behave();
    assert_recovers(scene.address(), &scene.tree);
}

// The head is there in time; the body waits for the upstream.
#[test]
fn ca8_an_upstream_that_hangs_in_a_blob_does_not_hold_back_the_head() {
    let scene = Scene::with(|registry| registry, short);
    let gate = Gate::new();
    let hold = Misbehaviour::HoldAfter(100_000, gate.clone());
    scene.registry.misbehave(Rule::on(Part::Blob, hold));
    let layer = scene.layer();
    let reading = begin(scene.address(), "GET", &blob(APP, &layer.descriptor.digest)).unwrap();
    assert_eq!(reading.answer.status, 200);
    gate.open();
    assert!(reading.finish().whole() == layer.content.bytes());
}

#[test]
fn ca8_a_token_server_that_hangs_is_given_up_in_time() {
    for warm in [false, true] {
        let gate = Gate::new();
        let tokens = TokenServer::builder().anonymous();
        let tokens = match warm {
            true => tokens.start(),
            false => tokens.hold(gate.clone()).start(),
        };
        let tokens = tokens.unwrap();
        let scene = Scene::with(|registry| registry.bearer(&tokens), short);
        if warm {
            scene.pull();
            scene.registry.revoke_tokens();
            let answer = longshore_testkit::ScriptedResponse::status(http::StatusCode::OK);
            tokens.answer_next(answer.hold(gate.clone()));
        }
        let answer = get(scene.address(), &manifest(APP, "1"));
        if warm {
            assert!(answer.whole() == scene.tree.document());
        } else {
            assert_gave_up("token", &answer);
        }
        gate.open();
        assert_recovers(scene.address(), &scene.tree);
    }
}

/// A cache in front of what listens at this address, with this certificate authority.
fn serve_of(address: SocketAddr, secure: Option<&Authority>, place: &std::path::Path) -> Serve {
    let (config, ca) = (place.join("cache.toml"), place.join("ca.pem"));
    let mut text = String::from("[[serve.upstream]]\nprefix = \"docker.io\"\n");
    match secure {
        Some(authority) => {
            std::fs::write(&ca, authority.pem()).unwrap();
            text.push_str(&format!(
                "url = \"https://{address}\"\nca = \"{}\"\n",
                ca.display()
            ));
        }
        None => text.push_str(&format!("url = \"http://{address}\"\n")),
    }
    std::fs::write(&config, text).unwrap();
    let settings = Serve::builder().args(["--config", config.to_str().unwrap()]);
    short(settings).start()
}

#[test]
fn ca8_an_upstream_that_hangs_on_accept_or_in_the_handshake_is_given_up_in_time() {
    let place = tempfile::tempdir().unwrap();
    let tree = Image::new(1).layers(1, 1000).build();
    let authority = Authority::new();
    for (what, secure) in [("accept", false), ("hello", true)] {
        let registry = Registry::builder().image(APP, "1", &tree);
        let registry = match secure {
            true => registry.listen(Listen::loopback().tls(authority.server(&["127.0.0.1"]))),
            false => registry,
        };
        let registry = registry.start().unwrap();
        let gate = Gate::new();
        let fault = match secure {
            true => Fault::StallAfter(0, gate.clone()),
            false => Fault::Hold(gate.clone()),
        };
        let proxy = FaultProxy::start(registry.address(), Script::every(fault)).unwrap();
        let serve = serve_of(proxy.address(), secure.then_some(&authority), place.path());
        assert_gave_up(what, &get(serve.address(), &manifest(APP, "1")));
        gate.open();
        assert_recovers(serve.address(), &tree);
    }
}

#[test]
fn ca8_an_upstream_that_does_not_even_accept_is_given_up_in_time() {
    let place = tempfile::tempdir().unwrap();
    // The system accepts, and nobody reads.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let serve = serve_of(deaf.local_addr().unwrap(), None, place.path());
    assert_gave_up("deaf", &get(serve.address(), &manifest(APP, "1")));
    assert_gave_up(
        "deaf",
        &get(serve.address(), &blob(APP, &Digest::sha256(b"x"))),
    );
}
