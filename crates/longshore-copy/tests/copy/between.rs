//! Copies between every pair of ends.

use std::sync::{Arc, Mutex};

use http::Method;
use longshore_copy::{CopyOptions, Plan, RunOptions};
use longshore_layout::Layout;
use longshore_model::MediaType;
use longshore_testkit::image::{self, DescribedContent, Image};
use longshore_testkit::registry::{Hook, Misbehaviour, Part, Rule};

use crate::support::{Recorder, Scene, assert_registry_holds, copied, count, end, lines, memory};

#[tokio::test]
async fn an_image_goes_from_registry_to_registry() {
    let scene = Scene::set(Image::new(1).layers(3, 20_000).build());
    let report = scene.copy_to(scene.to("b:2").await).await;
    assert_eq!(report.digest, *scene.tree.digest());
    let tally = report.destinations[0].tally;
    let blobs = scene.tree.blobs().len() as u64;
    assert_eq!(
        (tally.moved, tally.present, tally.mounted),
        (blobs + 1, 0, 0)
    );
    assert_eq!(tally.bytes, scene.tree.total_bytes());
    assert!(report.destinations[0].error.is_none());
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

#[tokio::test]
async fn an_index_goes_with_all_its_images_from_the_bottom_up() {
    let scene = Scene::set(image::index(2, &image::platforms()[..3]));
    scene.copy_to(scene.to("b:2").await).await;
    let puts = scene
        .target
        .requests()
        .matching(|request| request.method == "PUT" && request.path().contains("/manifests/"));
    let last = puts.last().unwrap();
    assert!(last.path().ends_with("/manifests/2"), "{}", last.path());
    assert_eq!(puts.len(), 4);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

#[tokio::test]
async fn a_nested_index_goes_from_the_bottom_up() {
    let scene = Scene::set(image::nested(3, 3));
    scene.copy_to(scene.to("b:2").await).await;
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

#[tokio::test]
async fn an_image_goes_through_a_layout_and_memory_to_a_registry() {
    let scene = Scene::set(image::index(4, &image::platforms()[..2]));
    let options = CopyOptions::default();
    let mut from = scene.from().await;
    let ends = [
        scene.layout("one"),
        scene.layout("two"),
        memory(),
        scene.to("b:2").await,
    ];
    for to in ends {
        let report = copied(&from, &to, &options).await.unwrap();
        assert_eq!(report.digest, *scene.tree.digest());
        assert!(report.destinations[0].tally.moved > 0);
        from = to;
    }
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
    for name in ["one", "two"] {
        let layout = Layout::open(&scene.place.path().join(name)).unwrap();
        assert_eq!(layout.resolve("1").unwrap().digest, *scene.tree.digest());
        assert!(layout.verify(|_| ()).unwrap().is_sound());
    }
}

#[tokio::test]
async fn a_second_copy_asks_for_two_manifests_and_nothing_else() {
    let scene = Scene::set(Image::new(1).layers(200, 500).build());
    scene.copy_to(scene.to("b:2").await).await;
    scene.source.requests().clear();
    scene.target.requests().clear();
    let report = scene.copy_to(scene.to("b:2").await).await;
    assert_eq!(report.destinations[0].tally.moved, 0);
    let source = lines(&scene.source);
    let target = lines(&scene.target);
    let manifests = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.contains("/manifests/"))
            .count()
    };
    assert_eq!((manifests(&source), manifests(&target)), (1, 1));
    assert_eq!(count(&scene.target, "HEAD", "/manifests/2"), 1);
    assert_eq!(count(&scene.target, "HEAD", "/blobs/"), 0);
    assert_eq!(count(&scene.target, "POST", ""), 0);
}

#[tokio::test]
async fn within_one_registry_each_blob_is_mounted_with_one_request() {
    let scene = Scene::set(Image::new(1).layers(50, 500).build());
    let recorder = Arc::new(Recorder::default());
    let mut options = CopyOptions::default();
    options.run.observer = Some(Arc::clone(&recorder) as _);
    let to = end(&scene.source, "b:2").await;
    let report = copied(&scene.from().await, &to, &options).await.unwrap();
    let tally = report.destinations[0].tally;
    let blobs = scene.tree.blobs().len();
    assert_eq!((tally.mounted, tally.moved), (blobs as u64, 1));
    assert_eq!(tally.bytes, scene.tree.descriptor().size);
    assert_eq!(count(&scene.source, "POST", "/b/blobs/uploads/"), blobs);
    assert_eq!(count(&scene.source, "PUT", "/blobs/"), 0);
    assert_eq!(count(&scene.source, "HEAD", "/blobs/"), 0);
    assert_eq!(count(&scene.source, "GET", "/blobs/"), 0);
    let mounted = recorder
        .events()
        .iter()
        .filter(|it| it.starts_with("mounted"))
        .count();
    assert_eq!(mounted, blobs);
    assert_registry_holds(&scene.source, "b:2", &scene.tree).await;
}

#[tokio::test]
async fn a_second_tag_of_a_repository_takes_one_put() {
    let scene = Scene::set(Image::new(1).layers(5, 500).build());
    let to = end(&scene.source, "a:2").await;
    scene.source.requests().clear();
    let options = CopyOptions::default();
    copied(&scene.from().await, &to, &options).await.unwrap();
    assert_eq!(count(&scene.source, "PUT", "/manifests/2"), 1);
    assert_eq!(count(&scene.source, "POST", ""), 0);
    assert_eq!(count(&scene.source, "HEAD", "/blobs/"), 0);
    assert_registry_holds(&scene.source, "a:2", &scene.tree).await;
}

#[tokio::test]
async fn small_blobs_are_looked_for_only_where_some_are_there() {
    let scene = Scene::set(Image::new(1).layers(30, 500).build());
    scene.copy_to(scene.to("b:2").await).await;
    // If a registry has none of the first blobs, it is not asked for the others.
    assert_eq!(count(&scene.target, "HEAD", "/blobs/"), 16);
    scene.target.requests().clear();
    // In another repository the blobs are absent again, in this one all are there.
    scene.target.contents().remove("b", scene.tree.digest());
    let report = scene.copy_to(scene.to("b:3").await).await;
    assert_eq!(count(&scene.target, "HEAD", "/blobs/"), 31);
    assert_eq!(count(&scene.target, "POST", ""), 0);
    let tally = report.destinations[0].tally;
    assert_eq!((tally.moved, tally.present), (1, 31));
}

#[tokio::test]
async fn a_blob_that_several_images_share_moves_once() {
    let shared = Image::new(1).layers(3, 2000);
    let platforms = image::platforms();
    let images = platforms[..3]
        .iter()
        .map(|it| shared.clone().platform(it.clone()).build());
    let scene = Scene::set(image::index_of(images.collect()));
    scene.copy_to(scene.to("b:2").await).await;
    let blobs = scene.tree.all_blobs().len();
    let gets = scene
        .source
        .requests()
        .matching(|it| it.path().contains("/blobs/"));
    assert_eq!(gets.len(), blobs);
    assert_eq!(count(&scene.target, "PUT", "/blobs/"), blobs);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

#[tokio::test]
async fn a_plan_that_is_looked_at_changes_nothing() {
    let scene = Scene::set(Image::new(1).layers(30, 500).build());
    let mut options = CopyOptions::default();
    options.dry_run = true;
    let plan = Plan::make(
        scene.from().await,
        vec![scene.to("b:2").await, scene.layout("images")],
        &options,
    );
    let plan = plan.await.unwrap();
    assert_eq!(plan.manifests().len(), 1);
    for destination in plan.destinations() {
        assert_eq!(destination.missing().count(), 31);
        assert_eq!(destination.missing_manifests(), 1);
        let blobs = scene.tree.total_bytes() - scene.tree.descriptor().size;
        assert_eq!(destination.missing_bytes(), blobs);
    }
    assert_eq!(count(&scene.target, "HEAD", "/blobs/"), 31);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(count(&scene.target, method, ""), 0);
    }
    assert!(!scene.place.path().join("images").exists());
}

#[tokio::test]
async fn a_plan_that_was_looked_at_can_run() {
    let scene = Scene::set(Image::new(1).layers(3, 500).build());
    let mut options = CopyOptions::default();
    options.dry_run = true;
    let to = scene.to("b:2").await;
    let plan = Plan::make(scene.from().await, vec![to], &options)
        .await
        .unwrap();
    let reports = plan.run(&RunOptions::default()).await.unwrap();
    assert_eq!(reports[0].tally.moved, 5);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}

// LI2: memory is not sized by what a peer sends.
#[tokio::test]
async fn li2_large_manifests_are_written_a_few_at_a_time() {
    let media_type = MediaType::OCI_INDEX;
    let index = |entries: &str, padding: &str| {
        let kind = format!(r#""schemaVersion":2,"mediaType":"{media_type}""#);
        let padding = format!(r#""annotations":{{"padding":"{padding}"}}"#);
        let text = format!(r#"{{{kind},"manifests":[{entries}],{padding}}}"#);
        DescribedContent::new(MediaType::OCI_INDEX, text.into_bytes().into())
    };
    let children = (0..8).map(|number| index("", &number.to_string().repeat(6 << 20)));
    let children: Vec<_> = children.collect();
    let entry = |child: &DescribedContent| {
        let (digest, size) = (&child.descriptor.digest, child.descriptor.size);
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let entries: Vec<_> = children.iter().map(entry).collect();
    let scene = Scene::set(image::single(1));
    let contents = scene.source.contents();
    for (number, child) in children.iter().enumerate() {
        contents.add_document("a", &format!("child{number}"), child.clone());
    }
    contents.add_document("a", "top", index(&entries.join(","), ""));
    let from = end(&scene.source, "a:top").await;
    let options = CopyOptions::default();
    let plan = Plan::make(from, vec![scene.to("b:2").await], &options).await;
    // Those that are read and not yet taken, now and at most.
    let read = Arc::new(Mutex::new((0_usize, 0_usize)));
    let (reading, taking) = (Arc::clone(&read), Arc::clone(&read));
    let on_read = Hook::new(move |_, answer| {
        let mut read = reading.lock().unwrap();
        read.0 += 1;
        read.1 = read.1.max(read.0);
        answer
    });
    let on_taken = Hook::new(move |_, answer| {
        let mut read = taking.lock().unwrap();
        read.0 = read.0.saturating_sub(1);
        answer
    });
    let rule = |hook| Rule::on(Part::Manifest, Misbehaviour::Hook(hook));
    scene.source.misbehave(rule(on_read).method(Method::GET));
    scene.target.misbehave(rule(on_taken).method(Method::PUT));
    plan.unwrap().run(&options.run).await.unwrap();
    assert_eq!(count(&scene.target, "PUT", "/manifests/"), 9);
    let most = read.lock().unwrap().1;
    assert!((1..=2).contains(&most), "{most}");
}
