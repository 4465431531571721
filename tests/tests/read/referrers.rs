//! `referrers`: by the API and by the tag that stands in for it.

use super::*;

#[test]
fn referrers_are_listed_with_what_refers_to_them() {
    let tree = image::single(70);
    let registry = serving(&tree);
    let signature = image::attached(71, &tree);
    let countersigned = image::attached(72, &signature);
    registry.contents().attach("a", &signature);
    registry.contents().attach("a", &countersigned);
    let reference = reference(&registry);
    let kind = "application/vnd.longshore.testkit";
    let line = |tree: &Tree| format!("{} {kind} {} B", tree.digest(), tree.document().len());
    assert_eq!(
        run(&["referrers", &reference]).succeeded(),
        line(&signature)
    );
    let expected = format!(
        "{}\n  {}\n    {}",
        tree.digest(),
        line(&signature),
        line(&countersigned)
    );
    assert_eq!(
        run(&["referrers", &reference, "--tree"]).succeeded(),
        expected
    );
    let entry = |tree: &Tree| {
        json!({
            "digest": tree.digest(),
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "artifact_type": kind,
            "size": tree.document().len(),
            "annotations": {},
        })
    };
    let flat = json!({
        "reference": reference,
        "digest": tree.digest(),
        "referrers_from": "api",
        "referrers": [entry(&signature)],
    });
    assert_eq!(told(&["referrers", &reference]), flat);
    let (mut outer, mut inner) = (entry(&signature), entry(&countersigned));
    inner["referrers"] = json!([]);
    outer["referrers"] = json!([inner]);
    let nested = told(&["referrers", &reference, "--tree"]);
    assert_eq!(nested["referrers"], json!([outer]));
    for (wanted, count) in [(kind, 1), ("application/spdx+json", 0)] {
        let found = told(&["referrers", &reference, "--artifact-type", wanted]);
        assert_eq!(found["referrers"].as_array().unwrap().len(), count);
    }
}

#[test]
fn without_the_api_there_may_be_none() {
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    let tree = image::single(73);
    let Some(reference) = registry.push(&tree, "some/app:1") else {
        return;
    };
    let none = run(&["referrers", &reference]);
    let said = "no referrers: the registry has no API for them, and no tag stands in for it\n";
    assert_eq!((none.succeeded(), &*none.stderr), ("", said));
    let none = told(&["referrers", &reference]);
    assert_eq!(none["referrers"], json!([]));
    assert_eq!(none["referrers_from"], Value::Null);
    let absent = format!("{}/some/app:2", registry.authority());
    run(&["referrers", &absent]).failed_with_hint(NOT_FOUND, &["some/app", "2"]);
}

#[test]
fn a_tag_that_stands_in_for_the_api_is_read() {
    let tree = image::single(75);
    let registry = serving(&tree);
    let gone = Misbehaviour::Status(StatusCode::NOT_FOUND);
    registry.misbehave(Rule::on(Part::List, gone));
    let signature = image::attached(76, &tree);
    let tag = tree.digest().as_str().replace(':', "-");
    let index = image::index_of(vec![signature.clone()]);
    registry.contents().add("a", &tag, &index);
    let found = told(&["referrers", &reference(&registry)]);
    assert_eq!(found["referrers"][0]["digest"], signature.digest().as_str());
    assert_eq!(found["referrers_from"], "tag");
}
