//! Which images are copied, and which are left out.

use http::{Method, StatusCode};
use longshore_copy::{CopyOptions, Plan, Platforms, Subset, TransferError};
use longshore_model::{Document, Platform};
use longshore_testkit::image::{self, Image};
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use crate::support::{Scene, copied, count, repository};

fn several(subset: Subset) -> CopyOptions {
    let wanted: Vec<Platform> = image::platforms()[..2].to_vec();
    let mut options = CopyOptions::default();
    options.platforms = Platforms::Several(wanted, subset);
    options
}

#[tokio::test]
async fn one_platform_is_the_manifest_of_its_image() {
    let scene = Scene::set(image::index(1, &image::platforms()[..3]));
    let wanted = image::platforms()[1].clone();
    let mut options = CopyOptions::default();
    options.platforms = Platforms::One(wanted.clone());
    let to = scene.to("b:2").await;
    let report = copied(&scene.from().await, &to, &options).await.unwrap();
    assert_eq!(report.digest, *scene.tree.children()[1].digest());
    assert_eq!(report.platform, Some(wanted));
    assert_eq!(count(&scene.target, "PUT", "/manifests/"), 1);
}

#[tokio::test]
async fn several_platforms_need_a_choice() {
    let scene = Scene::set(image::index(1, &image::platforms()[..3]));
    let to = scene.to("b:2").await;
    let error = copied(&scene.from().await, &to, &several(Subset::Undecided))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransferError::SeveralPlatforms { .. }),
        "{error}"
    );
    assert_eq!(count(&scene.target, "PUT", ""), 0);
    assert_eq!(count(&scene.target, "POST", ""), 0);
}

#[tokio::test]
async fn a_sparse_index_keeps_its_digest_and_some_of_its_images() {
    let scene = Scene::set(image::index(1, &image::platforms()[..3]));
    let to = scene.layout("images");
    let report = copied(&scene.from().await, &to, &several(Subset::Sparse))
        .await
        .unwrap();
    assert_eq!(
        (&report.digest, report.new_index),
        (scene.tree.digest(), false)
    );
    let store = to.store().unwrap();
    let children = scene.tree.children().iter();
    let has = children.map(|child| store.contains(child.digest()).unwrap());
    assert_eq!(has.collect::<Vec<_>>(), [true, true, false]);
}

#[tokio::test]
async fn a_new_index_lists_what_was_copied() {
    let scene = Scene::set(image::index(1, &image::platforms()[..3]));
    let to = scene.to("b:2").await;
    let report = copied(&scene.from().await, &to, &several(Subset::NewIndex))
        .await
        .unwrap();
    assert!(report.new_index);
    let (repository, reference) = repository(&scene.target, "b:2").await;
    let pulled = repository
        .manifest(&reference.target())
        .await
        .unwrap()
        .manifest;
    assert_eq!(*pulled.digest(), report.digest);
    let Document::Index(index) = pulled.document() else {
        panic!("it is an index");
    };
    let listed: Vec<_> = index.manifests.iter().map(|it| &it.digest).collect();
    let wanted: Vec<_> = scene.tree.children()[..2]
        .iter()
        .map(|it| it.digest())
        .collect();
    assert_eq!(listed, wanted);
}

#[tokio::test]
async fn an_existing_name_is_all_that_is_asked_for() {
    let scene = Scene::set(Image::new(1).layers(3, 500).build());
    scene.copy_to(scene.to("b:2").await).await;
    scene.source.requests().clear();
    scene.target.requests().clear();
    let mut options = CopyOptions::default();
    options.skip_existing = true;
    let to = scene.to("b:2").await;
    let report = copied(&scene.from().await, &to, &options).await.unwrap();
    assert_eq!(report.digest, *scene.tree.digest());
    assert_eq!(count(&scene.source, "GET", "/manifests/"), 0);
    assert_eq!(count(&scene.source, "HEAD", "/manifests/"), 1);
    assert_eq!(count(&scene.target, "HEAD", "/manifests/"), 1);
}

#[tokio::test]
async fn rd6_foreign_layers_are_left_out_unless_they_are_asked_for() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    let foreign = longshore_model::MediaType::OCI_LAYER_NONDISTRIBUTABLE_GZIP;
    let document = scene.tree.document();
    let text = String::from_utf8(document.to_vec()).unwrap();
    let ordinary = scene.tree.blobs()[2].descriptor.media_type.as_str();
    let at = text.rfind(ordinary).unwrap();
    let mut text = text;
    text.replace_range(at..at + ordinary.len(), foreign.as_str());
    let (source, reference) = repository(&scene.source, "a:foreign").await;
    let target = reference.target();
    let put = source.put_manifest(&target, scene.tree.media_type(), text.into_bytes().into());
    put.await.unwrap();
    for (wanted, moved, left) in [(false, 3, 1), (true, 4, 0)] {
        let mut options = CopyOptions::default();
        options.foreign_layers = wanted;
        let from = crate::support::end(&scene.source, "a:foreign").await;
        let to = scene.layout(if wanted { "all" } else { "some" });
        let report = copied(&from, &to, &options).await.unwrap();
        assert_eq!(report.foreign_layers, left);
        assert_eq!(report.destinations[0].tally.moved, moved);
    }
}

#[tokio::test]
async fn a_blob_that_was_stored_short_is_found_afterwards() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    let absent = Misbehaviour::Status(StatusCode::NOT_FOUND);
    scene
        .target
        .misbehave(Rule::on(Part::Blob, absent).method(Method::HEAD));
    let mut options = CopyOptions::default();
    let to = scene.to("b:2").await;
    options.run.verify_after = true;
    let error = copied(&scene.from().await, &to, &options)
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::NotStored { .. }), "{error}");
    assert_eq!(count(&scene.target, "PUT", "/manifests/"), 0);
}

// DG7: what a registry acknowledged is not taken for stored.
#[tokio::test]
async fn dg7_a_blob_that_a_registry_has_with_another_size_is_sent_again() {
    let scene = Scene::set(Image::new(1).layers(1, 2 << 20).build());
    let layer = &scene.tree.blobs()[1];
    let digest = &layer.descriptor.digest;
    for (length, sent) in [(layer.descriptor.size - 1, 1), (0, 0)] {
        let name = format!("c{sent}");
        let contents = scene.target.contents();
        contents.set_blob(&name, digest, layer.content.clone());
        let length = Misbehaviour::Length(length);
        let rule = Rule::on(Part::Blob, length).method(Method::HEAD);
        scene.target.misbehave(rule.path(digest.as_str()));
        scene.target.requests().clear();
        let mut options = CopyOptions::default();
        options.dry_run = true;
        let to = scene.to(&format!("{name}:2")).await;
        let plan = Plan::make(scene.from().await, vec![to], &options).await;
        let plan = plan.unwrap();
        let destination = &plan.destinations()[0];
        let missing = destination.missing().filter(|it| it.digest == *digest);
        assert_eq!(missing.count(), sent);
        scene.target.behave();
    }
}

// DG7: what a registry acknowledged is not taken for stored. It lists the last layer and serves
// nothing, or too little, or does not list it.
#[tokio::test]
async fn dg7_a_blob_that_the_registry_has_lost_is_sent_again() {
    for bytes in [500, 2 << 20] {
        let scene = Scene::set(Image::new(1).layers(3, bytes).build());
        let to = scene.to("b:2").await;
        copied(&scene.from().await, &to, &CopyOptions::default())
            .await
            .unwrap();
        let layer = &scene.tree.blobs().last().unwrap().descriptor;
        let digest = layer.digest.as_str();
        let absent = || Misbehaviour::Status(StatusCode::NOT_FOUND);
        let rule = |what, method| Rule::on(Part::Blob, what).method(method).path(digest);
        let losses = [
            // The registry is asked for the last byte, and then for all.
            rule(absent(), Method::GET).times(2),
            rule(absent(), Method::HEAD).times(1),
            // The plan finds nothing.
            rule(Misbehaviour::Length(layer.size - 1), Method::HEAD)
                .after(1)
                .times(1),
        ];
        for loss in losses {
            let name = format!("{loss:?}");
            scene.target.misbehave(loss);
            scene.target.requests().clear();
            let mut options = CopyOptions::default();
            options.run.verify_after = true;
            let report = copied(&scene.from().await, &to, &options).await.unwrap();
            let tally = report.destinations[0].tally;
            assert_eq!((tally.moved, tally.present), (1, 4), "{name}");
            assert_eq!(count(&scene.target, "PUT", "/blobs/"), 1);
        }
    }
}

#[tokio::test]
async fn platforms_are_chosen_in_indexes_only() {
    let plain = Scene::set(Image::new(1).build());
    let one = |seed: usize| image::index(seed as u64, &image::platforms()[seed..=seed]);
    let nested = Scene::set(image::index_of(vec![one(0), one(1)]));
    for subset in [Subset::Sparse, Subset::NewIndex] {
        let to = plain.to("b:2").await;
        let error = copied(&plain.from().await, &to, &several(subset)).await;
        assert!(matches!(error, Err(TransferError::NotAnIndex)), "{error:?}");
        let to = nested.to("b:2").await;
        let error = copied(&nested.from().await, &to, &several(subset)).await;
        let error = error.map(|it| it.digest);
        assert!(
            matches!(error, Err(TransferError::NestedIndexes { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_destination_that_is_given_twice_is_refused() {
    let scene = Scene::set(Image::new(1).build());
    let ends = vec![
        scene.to("b:2").await,
        scene.to("c:2").await,
        scene.to("b:2").await,
    ];
    let copied = longshore_copy::copy(scene.from().await, ends, &CopyOptions::default()).await;
    let error = copied.unwrap_err();
    assert!(
        matches!(error, TransferError::SameDestination { .. }),
        "{error}"
    );
    assert_eq!(crate::support::lines(&scene.target), [""; 0]);
}

#[tokio::test]
async fn dg7_a_registry_that_never_serves_what_it_lists_is_told_with_the_blob() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    let to = scene.to("b:2").await;
    copied(&scene.from().await, &to, &CopyOptions::default())
        .await
        .unwrap();
    let absent = Misbehaviour::Status(StatusCode::NOT_FOUND);
    let digest = scene.tree.blobs()[1].descriptor.digest.clone();
    let rule = Rule::on(Part::Blob, absent).method(Method::GET);
    scene.target.misbehave(rule.path(digest.as_str()));
    let mut options = CopyOptions::default();
    options.run.verify_after = true;
    let error = copied(&scene.from().await, &to, &options)
        .await
        .unwrap_err();
    let expected = format!("{} lists {digest}, and does not serve it", to.name());
    assert_eq!(error.to_string(), expected);
}

// DG2: the length in an answer to HEAD may be 0 whatever the size is.
#[tokio::test]
async fn dg2_a_length_of_zero_in_an_answer_to_head_is_not_the_stored_size() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    let rule = Rule::on(Part::Blob, Misbehaviour::Length(0)).method(Method::HEAD);
    scene.target.misbehave(rule);
    let to = scene.to("b:2").await;
    let mut options = CopyOptions::default();
    options.run.verify_after = true;
    for (moved, present) in [(4, 0), (0, 4)] {
        let report = copied(&scene.from().await, &to, &options).await.unwrap();
        let tally = report.destinations[0].tally;
        assert_eq!((tally.moved, tally.present), (moved, present));
    }
}
