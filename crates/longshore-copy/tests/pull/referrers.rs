//! What refers to a manifest, and the limits of looking for it.

use http::HeaderValue;
use http::header::{CONTENT_TYPE, LINK};
use longshore_copy::{
    REFERRERS_DEPTH_LIMIT, REFERRERS_LIMIT, Referrer, Referrers, ReferrersSource, TransferError,
    TransferErrorKind,
};
use longshore_model::{Digest, MediaType};
use longshore_testkit::image::{self, Tree};
use longshore_testkit::registry::{Hook, Misbehaviour, Part, Rule};
use longshore_testkit::{RecordedRequest, ScriptedResponse};
use serde_json::{Value, json};

use crate::support::Scene;

async fn read(scene: &Scene, levels: usize) -> Result<Referrers, TransferError> {
    Referrers::read(&scene.repository, scene.tree.digest(), None, levels).await
}

/// A referrer with these below it, by digest.
fn shape(referrer: &Referrer) -> Value {
    let below: Vec<_> = referrer.referrers.iter().map(shape).collect();
    json!({ referrer.descriptor.digest.as_str(): below })
}

#[tokio::test]
async fn referrers_and_theirs_form_a_tree() {
    let tree = image::single(1);
    let scene = Scene::set(tree.clone()).await;
    let signature = image::attached(2, &tree);
    let attestation = image::attached(3, &tree);
    let countersigned = image::attached(4, &signature);
    for tree in [&signature, &attestation, &countersigned] {
        scene.registry.contents().attach("a", tree);
    }
    let leaf = |tree: &Tree| json!({ tree.digest().as_str(): [] });
    let found = read(&scene, 1).await.unwrap();
    assert_eq!(found.source, ReferrersSource::Api);
    let digests = |found: &Referrers| -> Vec<_> { found.referrers.iter().map(shape).collect() };
    let mut expected = [leaf(&signature), leaf(&attestation)];
    expected.sort_by_key(Value::to_string);
    let mut shown = digests(&found);
    shown.sort_by_key(Value::to_string);
    assert_eq!(shown, expected);
    assert_eq!(scene.registry.requests_to(Part::List).len(), 1);

    let found = read(&scene, REFERRERS_DEPTH_LIMIT).await.unwrap();
    let below = json!({ signature.digest().as_str(): [leaf(&countersigned)] });
    let shown = digests(&found);
    assert_eq!(shown.len(), 2);
    assert!(
        shown.contains(&below) && shown.contains(&leaf(&attestation)),
        "{shown:?}"
    );

    let kind: MediaType = "application/spdx+json".parse().unwrap();
    let none = Referrers::read(&scene.repository, tree.digest(), Some(&kind), 1).await;
    assert_eq!(none.unwrap().referrers, []);
    assert_eq!(read(&scene, 0).await.unwrap(), Referrers::default());
}

#[tokio::test]
async fn a_registry_without_referrers_has_nothing() {
    let scene = Scene::set(image::single(5)).await;
    let gone = Misbehaviour::Status(http::StatusCode::NOT_FOUND);
    scene.registry.misbehave(Rule::on(Part::List, gone));
    assert_eq!(read(&scene, 1).await.unwrap(), Referrers::default());
}

/// Makes the registry list these referrers for every subject, on each of `pages` pages.
fn list(
    scene: &Scene,
    pages: usize,
    entries: impl Fn(&RecordedRequest) -> Vec<Digest> + Send + Sync + 'static,
) {
    let page = move |request: &RecordedRequest, _| {
        let manifests: Vec<_> = entries(request)
            .iter()
            .map(|digest| {
                json!({
                    "mediaType": MediaType::OCI_MANIFEST.as_str(),
                    "artifactType": "a/b",
                    "digest": digest.as_str(),
                    "size": 1,
                })
            })
            .collect();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX.as_str(),
            "manifests": manifests,
        });
        let kind = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        let answer = ScriptedResponse::json(&index).header(CONTENT_TYPE, kind);
        let number: usize = request
            .query()
            .strip_prefix("page=")
            .map_or(1, |it| it.parse().unwrap());
        if number < pages {
            let next = format!("<?page={}>; rel=\"next\"", number + 1);
            answer.header(LINK, next.parse().unwrap())
        } else {
            answer
        }
    };
    let hook = Misbehaviour::Hook(Hook::new(page));
    scene.registry.misbehave(Rule::on(Part::List, hook));
}

fn digest(number: usize) -> Digest {
    Digest::sha256(number.to_string().as_bytes())
}

// LI2: memory is not sized by what a peer sends. A cycle is shown until it closes.
#[tokio::test]
async fn li2_a_circle_of_referrers_is_followed_once() {
    let scene = Scene::set(image::single(6)).await;
    let subject = scene.tree.digest().clone();
    let circle = subject.clone();
    list(&scene, 1, move |_| {
        vec![digest(1), digest(2), circle.clone()]
    });
    let found = read(&scene, REFERRERS_DEPTH_LIMIT).await.unwrap();
    let leaf = |digest: &Digest| json!({ digest.as_str(): [] });
    let leaves = json!([leaf(&digest(1)), leaf(&digest(2)), leaf(&subject)]);
    let shown: Vec<_> = found.referrers.iter().map(shape).collect();
    let expected = [
        json!({ digest(1).as_str(): leaves }),
        json!({ digest(2).as_str(): leaves }),
        leaf(&subject),
    ];
    assert_eq!(shown, expected);
    assert_eq!(scene.registry.requests_to(Part::List).len(), 3);
}

// LI: limits of size and count.
#[tokio::test]
async fn li_referrers_are_followed_to_the_limit_of_the_depth() {
    let scene = Scene::set(image::single(7)).await;
    let subject = scene.tree.digest().clone();
    // Each digest has one referrer, so the chain has no end.
    list(&scene, 1, move |request| {
        let about = request.path().rsplit('/').next().unwrap().to_owned();
        let number = (0..100).find(|number| digest(*number).as_str() == about);
        assert!(number.is_some() || about == subject.as_str());
        vec![digest(number.map_or(0, |number| number + 1))]
    });
    let found = read(&scene, usize::MAX).await.unwrap();
    let mut depth = 0;
    let mut level = &found.referrers;
    while let Some(referrer) = level.first() {
        depth += 1;
        level = &referrer.referrers;
    }
    assert_eq!(depth, REFERRERS_DEPTH_LIMIT);
    assert_eq!(
        scene.registry.requests_to(Part::List).len(),
        REFERRERS_DEPTH_LIMIT
    );
}

// LI2: each place in the tree counts, also of a manifest that is there already.
#[tokio::test]
async fn li2_referrers_have_a_limit() {
    for (pages, fits) in [(2, true), (3, false)] {
        let scene = Scene::set(image::single(8)).await;
        // A page that has nothing new would end the listing.
        list(&scene, pages, |request| {
            let mut digests = vec![digest(0); REFERRERS_LIMIT / 2 - 1];
            digests.push(Digest::sha256(request.query().as_bytes()));
            digests
        });
        match (read(&scene, 1).await, fits) {
            (Ok(found), true) => assert_eq!(found.referrers.len(), REFERRERS_LIMIT),
            (Err(error), false) => {
                assert_eq!(error.kind(), TransferErrorKind::Limit);
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert_eq!(source, "there are more than 10000 entries");
            }
            (other, _) => panic!("{pages} pages: {:?}", other.map(|it| it.referrers.len())),
        }
    }
}
