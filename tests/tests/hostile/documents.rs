//! Documents: bodies that are too long, too deep, too short, or not what they seem.

use super::*;

// DG5, LI1, LI3: refused at the first answer, announced or not.
#[tokio::test]
async fn dg5_what_is_no_manifest_is_refused_at_once() {
    let scene = Scene::set().await;
    for document in hostile::documents() {
        for announced in [true, false] {
            scene.rule(Rule::always(Misbehaviour::NoDigestHeader));
            scene
                .registry
                .misbehave(Rule::always(Misbehaviour::Body(document.body.clone())));
            if !announced {
                scene
                    .registry
                    .misbehave(Rule::always(Misbehaviour::NoLength));
            }
            let result = scene.manifest().await;
            let kind = match document.name {
                "over 8 MiB" | "endless" => ErrorKind::TooLarge,
                _ => ErrorKind::Protocol,
            };
            scene.refused(result, kind, 1, document.name);
        }
    }
}

// LI1: a larger Content-Length fails at once, whatever follows.
#[tokio::test]
async fn li1_a_length_that_is_a_lie_is_found_out() {
    let scene = Scene::set().await;
    let length = scene.tree.document().len() as u64;
    for (claimed, kind, requests) in [
        (8 * 1024 * 1024 + 1, ErrorKind::TooLarge, 1),
        (u64::MAX >> 1, ErrorKind::TooLarge, 1),
        // It breaks off, each time it is asked for again.
        (length + 1, ErrorKind::Unavailable, 5),
        // What came of it is not what the header says it is.
        (length - 1, ErrorKind::Digest, 1),
    ] {
        scene.rule(Rule::always(Misbehaviour::Length(claimed)));
        let result = scene.manifest().await;
        scene.refused(result, kind, requests, &claimed.to_string());
    }
}

// LI: 64 KiB of an error body are read, and 1 KiB of it is shown.
#[tokio::test]
async fn li1_an_error_body_without_an_end_is_read_no_further_than_it_is_of_use() {
    let scene = Scene::set().await;
    for body in [
        BlobContent::endless("no "),
        BlobContent::endless("["),
        BlobContent::from(r#"{"errors":["#).then(BlobContent::endless(r#"{"code":"DENIED"},"#)),
        BlobContent::from(r#"{"errors":[{"code":"DENIED","message":""#)
            .then(BlobContent::endless("x")),
    ] {
        for announced in [true, false] {
            let denied = ScriptedResponse::status(status(403)).body(body.clone());
            let denied = if announced {
                denied
            } else {
                denied.unannounced()
            };
            scene.rule(Rule::always(Misbehaviour::Response(Box::new(denied))));
            let result = scene.manifest().await;
            let error = scene.refused(result, ErrorKind::Denied, 1, "endless");
            assert!(error.to_string().len() < 2048, "{error}");
        }
    }
}

// OU1: in the error's own words nothing a peer said is raw.
#[tokio::test]
async fn ou1_no_text_of_a_peer_is_shown_as_it_is() {
    let scene = Scene::set().await;
    for text in hostile::TEXTS {
        let json = serde_json::json!({
            "errors": [{"code": text, "message": text, "detail": {"x": text}}],
        });
        for body in [json.to_string(), text.to_owned()] {
            let denied = ScriptedResponse::status(status(403)).body(body);
            scene.rule(Rule::always(Misbehaviour::Response(Box::new(denied))));
            let result = scene.manifest().await;
            let error = scene.refused(result, ErrorKind::Denied, 1, text);
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = source {
                let said = error.to_string();
                assert!(!said.contains(is_active), "{text:?}: {said:?}");
                source = error.source();
            }
        }
    }
}

/// What does more than stand where it is printed.
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(character, '\u{2028}' | '\u{2029}')
}
