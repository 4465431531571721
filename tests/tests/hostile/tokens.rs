//! Token servers: answers without a token in them, and lifetimes that are none.

use longshore_testkit::token::{Member, TokenServer};

use super::*;

// CR9, LI1: nothing of it is sent to the registry, and it is not asked for again.
#[tokio::test]
async fn cr9_what_is_no_token_is_refused() {
    for sample in hostile::token_bodies() {
        for announced in [true, false] {
            let tokens = TokenServer::builder().start().unwrap();
            let answer = ScriptedResponse::status(status(200)).body(sample.body.clone());
            tokens.answer_always(if announced {
                answer
            } else {
                answer.unannounced()
            });
            let scene = Scene::behind(Registry::builder().bearer(&tokens)).await;
            let result = scene.manifest().await;
            let error = scene.refused(result, ErrorKind::Protocol, 1, sample.name);
            assert!(matches!(error.cause(), Cause::Auth(..)), "{error:?}");
            assert_eq!(tokens.requests().len(), 1, "{}", sample.name);
        }
    }
}

// CR9: 256 KiB, by the announcement alone.
#[tokio::test]
async fn li1_a_token_of_any_length_by_its_head_is_refused() {
    let tokens = TokenServer::builder().start().unwrap();
    let lie = ScriptedResponse::json(&serde_json::json!({"token": "t"})).claiming(256 * 1024 + 1);
    tokens.answer_always(lie);
    let scene = Scene::behind(Registry::builder().bearer(&tokens)).await;
    let result = scene.manifest().await;
    scene.refused(result, ErrorKind::Protocol, 1, "a lie");
    assert_eq!(tokens.requests().len(), 1);
}

// RT7: what is no lifetime is 60 s, and none is longer than an hour.
#[tokio::test]
async fn rt7_a_lifetime_that_is_none_is_a_short_one() {
    let announced = hostile::lifetimes().into_iter().map(Some).chain([None]);
    for lifetime in announced {
        let tokens = TokenServer::builder().expires_in(lifetime.clone());
        let tokens = tokens.lifetime(Duration::from_secs(7200)).start().unwrap();
        let scene = Scene::behind(Registry::builder().bearer(&tokens)).await;
        scene.manifest().await.unwrap();
        scene.clock.advance(Duration::from_secs(50));
        scene.manifest().await.unwrap();
        assert_eq!(tokens.requests().len(), 1, "{lifetime:?}");
        scene.clock.advance(Duration::from_secs(3600));
        scene.manifest().await.unwrap();
        assert_eq!(tokens.requests().len(), 2, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_token_is_taken_by_either_name() {
    for member in [Member::AccessToken, Member::Both, Member::Token] {
        let tokens = TokenServer::builder().member(member).start().unwrap();
        let scene = Scene::behind(Registry::builder().bearer(&tokens)).await;
        scene.manifest().await.unwrap();
        assert_eq!(tokens.requests().len(), 1, "{member:?}");
    }
}
