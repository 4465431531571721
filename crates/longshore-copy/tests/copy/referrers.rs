//! What refers to an image goes with it.

use longshore_copy::CopyOptions;
use longshore_layout::Layout;
use longshore_testkit::image::{self, Image};

use crate::support::{Scene, assert_registry_holds, copied, repository};

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
