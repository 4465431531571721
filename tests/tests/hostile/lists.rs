//! Lists: pages that lead in circles, elsewhere, nowhere, or have no end.

use longshore_testkit::recorder::Recorder;

use super::*;

async fn tags(scene: &Scene) -> Result<Vec<String>, Error> {
    scene.repository.tags(None, None).collect().await
}

fn next(target: &str) -> Rule {
    Rule::on(Part::List, Misbehaviour::NextPage(target.to_owned()))
}

// RD5: a page seen before, and pages that bring nothing new.
#[tokio::test]
async fn rd5_a_list_that_leads_in_a_circle_ends() {
    let scene = Scene::set().await;
    for (target, most) in [
        ("/v2/a/tags/list", 2),
        ("/v2/a/tags/list?last=1", 2),
        ("?last=1", 2),
        ("/v2/a/tags/list?page={n}", 22),
        ("http://192.0.2.1:1/elsewhere?page={n}", 22),
    ] {
        // Whatever is asked for, the same tag comes.
        let page = BlobContent::from(r#"{"name":"a","tags":["1"]}"#);
        scene.rule(next(target));
        scene
            .registry
            .misbehave(Rule::on(Part::List, Misbehaviour::Body(page)));
        let result = tags(&scene).await.map(drop);
        let requests = scene.registry.requests().len();
        assert!(requests <= most, "{target}: {requests}");
        let error = scene.refused(result, ErrorKind::Protocol, requests, target);
        assert!(matches!(error.cause(), Cause::Listing(_)), "{error:?}");
    }
}

// RD5: some registries filter a list page by page.
#[tokio::test]
async fn rd5_a_page_without_entries_is_followed() {
    let scene = Scene::set().await;
    scene.rule(next("?page={n}").times(20));
    let empty = BlobContent::from(r#"{"name":"a","tags":[]}"#);
    scene
        .registry
        .misbehave(Rule::on(Part::List, Misbehaviour::Body(empty)).times(20));
    assert_eq!(tags(&scene).await.unwrap(), ["1"]);
    assert_eq!(scene.registry.requests().len(), 21);
}

// RD5, CR1: of a link only the query is used.
#[tokio::test]
async fn rd5_a_link_leads_to_the_same_list_wherever_it_points() {
    let scene = Scene::behind(Registry::builder().image("a", "2", &image::single(2))).await;
    let elsewhere = Recorder::silent().unwrap();
    for target in [
        format!("{}/v2/b/tags/list?last=1&n=1", elsewhere.url()),
        format!("//{}/x?last=1&n=1", elsewhere.address()),
        "https://192.0.2.1/v2/_catalog?last=1&n=1".to_owned(),
        "../../../etc?last=1&n=1".to_owned(),
    ] {
        scene.rule(next(&target).times(1));
        scene.registry.misbehave(
            Rule::on(
                Part::List,
                Misbehaviour::Body(BlobContent::from(r#"{"name":"a","tags":["1"]}"#)),
            )
            .times(1),
        );
        assert_eq!(tags(&scene).await.unwrap(), ["1", "2"], "{target}");
        let lines = scene.registry.requests().all();
        let asked: Vec<_> = lines.iter().map(|it| it.uri.to_string()).collect();
        assert_eq!(asked, ["/v2/a/tags/list", "/v2/a/tags/list?last=1&n=1"]);
    }
    assert_eq!(elsewhere.connections(), 0);
}

// RD7: a link that is none is an error, or no link; never more than that.
#[tokio::test]
async fn rd7_a_link_that_is_none_leads_nowhere() {
    let scene = Scene::set().await;
    for link in [
        "",
        "<",
        "<>",
        "<?last=9",
        ">;rel=next",
        "next",
        "; rel=next",
        "<?last=9>",
        "<?a>; rel",
    ] {
        let link = HeaderValue::from_static(link);
        scene.rule(Rule::on(
            Part::List,
            Misbehaviour::Header(http::header::LINK, link.clone()),
        ));
        match tags(&scene).await {
            Ok(tags) => assert_eq!(tags, ["1"], "{link:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{link:?}: {error}"),
        }
        assert_eq!(scene.registry.requests().len(), 1, "{link:?}");
    }
}

// LI1: 8 MiB a page.
#[tokio::test]
async fn li1_a_page_without_an_end_is_refused() {
    let scene = Scene::set().await;
    for (body, kind) in [
        (BlobContent::endless(" "), ErrorKind::TooLarge),
        (
            BlobContent::from(r#"{"name":"a","tags":["#).then(BlobContent::endless(r#""1","#)),
            ErrorKind::TooLarge,
        ),
        (BlobContent::repeated("[", 200_000), ErrorKind::Protocol),
        (
            BlobContent::from(r#"{"name":"a","x":"#).then(BlobContent::repeated("[", 200_000)),
            ErrorKind::Protocol,
        ),
        (
            BlobContent::from(r#"{"name":"a","tags":{"7":1}}"#),
            ErrorKind::Protocol,
        ),
    ] {
        for announced in [true, false] {
            scene.rule(Rule::on(Part::List, Misbehaviour::Body(body.clone())));
            if !announced {
                scene
                    .registry
                    .misbehave(Rule::always(Misbehaviour::NoLength));
            }
            let result = tags(&scene).await.map(drop);
            scene.refused(result, kind, 1, "page");
        }
    }
}
