//! Copies with the referrers of an image.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use longshore_copy::{CopyOptions, REFERRERS_DEPTH_LIMIT, REFERRERS_LIMIT, TransferError};
use longshore_layout::{Layout, LayoutError};
use longshore_model::{DESCRIPTORS_LIMIT, Digest, MediaType};
use longshore_testkit::image::{self, Image};
use longshore_testkit::registry::{Hook, Misbehaviour, Part, Rule};
use longshore_testkit::{RecordedRequest, ScriptedResponse};
use serde_json::json;

use crate::support::{Scene, assert_registry_holds, copied, count, repository};

fn options() -> CopyOptions {
    let mut options = CopyOptions::default();
    options.referrers = true;
    options
}

#[tokio::test]
async fn referrers_of_the_image_of_its_children_and_of_referrers_are_copied() {
    let scene = Scene::set(image::index(1, &image::platforms()[..2]));
    let of_top = image::attached(10, &scene.tree);
    let of_child = image::attached(11, &scene.tree.children()[1]);
    let of_referrer = image::attached(12, &of_top);
    for tree in [&of_top, &of_child, &of_referrer] {
        scene.source.contents().attach("a", tree);
    }
    let to = scene.to("b:2").await;
    copied(&scene.from().await, &to, &options()).await.unwrap();
    for tree in [&of_top, &of_child, &of_referrer] {
        let name = format!("b@{}", tree.digest());
        assert_registry_holds(&scene.target, &name, tree).await;
    }
    let (repository, _) = repository(&scene.target, "b:2").await;
    let mut list = repository.referrers(scene.tree.digest(), None);
    let found = list.next().await.unwrap().unwrap();
    assert_eq!(found.digest, *of_top.digest());
    assert!(list.next().await.is_none());
}

#[tokio::test]
async fn without_being_asked_for_referrers_stay() {
    let scene = Scene::set(Image::new(1).build());
    let attached = image::attached(10, &scene.tree);
    scene.source.contents().attach("a", &attached);
    scene.copy_to(scene.to("b:2").await).await;
    let (repository, _) = repository(&scene.target, "b:2").await;
    let target = attached.digest().clone().into();
    assert!(repository.manifest_head(&target).await.unwrap().is_none());
}

#[tokio::test]
async fn manifests_under_digest_tags_are_copied() {
    let scene = Scene::set(Image::new(1).build());
    let signature = image::artifact(20);
    let tag = format!("sha256-{}.sig", scene.tree.digest().encoded());
    scene.source.contents().add("a", &tag, &signature);
    scene
        .source
        .contents()
        .add("a", "other", &image::artifact(21));
    let to = scene.to("b:2").await;
    copied(&scene.from().await, &to, &options()).await.unwrap();
    assert_registry_holds(&scene.target, &format!("b:{tag}"), &signature).await;
    let (repository, _) = repository(&scene.target, "b:2").await;
    let other = "other".parse().unwrap();
    assert!(repository.manifest_head(&other).await.unwrap().is_none());
}

#[tokio::test]
async fn referrers_go_through_a_layout() {
    let scene = Scene::set(Image::new(1).build());
    let attached = image::attached(10, &scene.tree);
    scene.source.contents().attach("a", &attached);
    let layout = scene.layout("images");
    copied(&scene.from().await, &layout, &options())
        .await
        .unwrap();
    let opened = Layout::open(&scene.place.path().join("images")).unwrap();
    let entries = opened.entries().unwrap();
    assert_eq!(entries.len(), 2);
    let to = scene.to("b:2").await;
    copied(&layout, &to, &options()).await.unwrap();
    let name = format!("b@{}", attached.digest());
    assert_registry_holds(&scene.target, &name, &attached).await;
}

// LI: limits of size and count.
#[tokio::test]
async fn li_referrers_of_referrers_have_a_limit_of_depth() {
    for (levels, fits) in [
        (REFERRERS_DEPTH_LIMIT, true),
        (REFERRERS_DEPTH_LIMIT + 1, false),
    ] {
        let scene = Scene::set(Image::new(1).build());
        let mut last = scene.tree.clone();
        for level in 0..levels as u64 {
            last = image::attached(10 + level, &last);
            scene.source.contents().attach("a", &last);
        }
        let to = scene.to("b:2").await;
        match (copied(&scene.from().await, &to, &options()).await, fits) {
            (Ok(report), true) => {
                assert_eq!(report.digest, *scene.tree.digest());
                let name = format!("b@{}", last.digest());
                assert_registry_holds(&scene.target, &name, &last).await;
            }
            (Err(TransferError::Referrers(error)), false) => {
                assert_eq!(error.to_string(), "manifests are nested more than 8 deep");
                assert_eq!(count(&scene.target, "PUT", ""), 0);
            }
            (other, _) => panic!("{levels} levels: {other:?}"),
        }
    }
}

// LI2: memory is not sized by what a peer sends. Each of the two manifests has fewer referrers than
// the limit.
#[tokio::test]
async fn li2_the_referrers_of_one_copy_have_a_limit_together() {
    let scene = Scene::set(image::index_of(vec![Image::new(1).build()]));
    let list = |request: &RecordedRequest, _: ScriptedResponse| {
        let about = request.path().to_owned();
        let referrer = |number: usize| {
            let digest = Digest::sha256(format!("{about} {number}").as_bytes());
            let kind = MediaType::OCI_MANIFEST;
            json!({ "mediaType": kind.as_str(), "digest": digest.as_str(), "size": 1 })
        };
        let referrers: Vec<_> = (0..REFERRERS_LIMIT / 2 + 1).map(referrer).collect();
        let kind = MediaType::OCI_INDEX;
        let index =
            json!({ "schemaVersion": 2, "mediaType": kind.as_str(), "manifests": referrers });
        let kind = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        ScriptedResponse::json(&index).header(CONTENT_TYPE, kind)
    };
    let hook = Misbehaviour::Hook(Hook::new(list));
    scene.source.misbehave(Rule::on(Part::List, hook));
    let to = scene.to("b:2").await;
    let error = copied(&scene.from().await, &to, &options())
        .await
        .unwrap_err();
    let TransferError::Referrers(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.to_string(), "there are more than 10000 entries");
    assert_eq!(count(&scene.source, "GET", "/manifests/"), 2);
}

// LI: limits of size and count. An index that no reader accepts is not written, and nothing before.
#[tokio::test]
async fn li_referrers_that_an_index_has_no_room_for_are_refused_before_the_copy() {
    let scene = Scene::set(Image::new(1).build());
    let attached = image::attached(10, &scene.tree);
    scene.source.contents().attach("a", &attached);
    let path = scene.place.path().join("images");
    let layout = Layout::create_or_open(&path).unwrap();
    let entry = |number: usize| {
        let digest = Digest::sha256(number.to_string().as_bytes());
        json!({ "mediaType": "a/b", "digest": digest.as_str(), "size": 1 })
    };
    for (room, fits) in [(1, false), (2, true)] {
        let entries: Vec<_> = (room..DESCRIPTORS_LIMIT).map(entry).collect();
        let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        std::fs::write(path.join("index.json"), &index).unwrap();
        let to = scene.layout("images");
        match (copied(&scene.from().await, &to, &options()).await, fits) {
            (Ok(_), true) => {
                let entries = layout.entries().unwrap();
                let added = entries.get(DESCRIPTORS_LIMIT - room..).unwrap();
                let names = added.iter().map(|it| (&it.digest, it.annotations.len()));
                let expected = [(attached.digest(), 0), (scene.tree.digest(), 1)];
                assert_eq!(names.collect::<Vec<_>>(), expected);
            }
            (Err(TransferError::Layout(error)), false) => {
                assert!(matches!(error, LayoutError::Overfull { .. }), "{error}");
                assert_eq!(count(&scene.source, "GET", "/blobs/"), 0);
                let found = std::fs::read_to_string(path.join("index.json")).unwrap();
                assert_eq!(found, index);
            }
            (other, _) => panic!("{room}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn digest_tags_are_found_where_a_registry_lists_no_tags() {
    let scene = Scene::set(Image::new(1).build());
    let signature = image::artifact(20);
    let tag = format!("sha256-{}.sig", scene.tree.digest().encoded());
    scene.source.contents().add("a", &tag, &signature);
    let refused = Misbehaviour::Status(StatusCode::METHOD_NOT_ALLOWED);
    let rule = Rule::on(Part::List, refused).path("/tags/");
    scene.source.misbehave(rule);
    let to = scene.to("b:2").await;
    copied(&scene.from().await, &to, &options()).await.unwrap();
    assert_registry_holds(&scene.target, &format!("b:{tag}"), &signature).await;
    assert_eq!(count(&scene.source, "GET", "/tags/"), 0);
}
