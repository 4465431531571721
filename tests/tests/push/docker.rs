//! The behaviour of distribution 2.8.

use std::sync::Mutex;

use longshore::model::Tag;
use longshore::{Content, ErrorKind, OpeningContent};
use longshore_testkit::image::Image;

use super::*;

/// Counts the requests with this method and status whose target contains these words.
fn count(registry: &DockerRegistry, method: &str, status: u16, words: &str) -> usize {
    let is = |it: &&Logged| it.method == method && it.status == status && it.target.contains(words);
    registry.requests().iter().filter(is).count()
}

// CR8
#[tokio::test]
async fn cr8_one_token_is_for_the_repository_and_the_one_to_mount_from() {
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
        return;
    };
    let tree = image::single(31);
    let client = client(&registry);
    let app = repository(&client, &registry, "some/app").await;
    push(&app, &tree, known).await;
    let tokens = registry.tokens().unwrap().requests();
    tokens.clear();
    let mounted = repository(&client, &registry, "some/mounted").await;
    let from_app = |digest: &Digest| {
        let mut options = known(digest);
        options.mount = Some("some/app".parse().unwrap());
        options
    };
    let outcomes = push(&mounted, &tree, from_app).await;
    assert!(outcomes.iter().all(|it| *it == UploadOutcome::Mounted));
    let asked: Vec<_> = tokens
        .all()
        .iter()
        .map(|it| {
            it.query()
                .replace("%3A", ":")
                .replace("%2F", "/")
                .replace("%2C", ",")
        })
        .collect();
    let [first, rest @ ..] = &asked[..] else {
        panic!("no token was asked for")
    };
    // The registry names the actions in any order.
    let first = first.replace("push,pull", "pull,push");
    let scopes = "&scope=repository:some/mounted:pull,push&scope=repository:some/app:pull";
    assert!(first.ends_with(scopes), "{first}");
    // The request for the manifest needs no access to the other repository.
    assert!(rest.iter().all(|it| !it.contains("some/app")), "{rest:?}");
    assert!(rest.len() <= 1, "{rest:?}");
}

#[tokio::test]
async fn a_blob_that_cannot_be_mounted_is_sent() {
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    let tree = image::single(32);
    let app = repository(&client(&registry), &registry, "some/app").await;
    let from_nowhere = |digest: &Digest| {
        let mut options = known(digest);
        options.mount = Some("no/such".parse().unwrap());
        options
    };
    let outcomes = push(&app, &tree, from_nowhere).await;
    assert!(outcomes.iter().all(|it| *it == UploadOutcome::Sent));
    // The upload uses the session in the answer, so no other request is sent.
    let blobs = tree.all_blobs().len();
    assert_eq!(count(&registry, "POST", 202, "mount="), blobs);
    assert_eq!(count(&registry, "POST", 202, ""), blobs);
    assert_eq!(count(&registry, "PUT", 201, "/uploads/"), blobs);
}

/// Content that kills and restarts the registry when it is read at this position.
struct Interrupting<'a, C> {
    content: C,
    position: u64,
    registry: Mutex<Option<&'a mut DockerRegistry>>,
}

impl<C: Content> Content for Interrupting<'_, C> {
    fn size(&self) -> Option<u64> {
        self.content.size()
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        if position == self.position
            && let Some(registry) = self.registry.lock().unwrap().take()
        {
            registry.restart();
        }
        self.content.open(position)
    }
}

const CHUNK: u64 = 10_000;

// RT4
#[tokio::test]
async fn rt4_chunks_continue_after_the_registry_was_killed_between_two() {
    let Some(mut registry) = DockerRegistry::builder().start() else {
        return;
    };
    let tree = Image::new(33).layers(1, 5 * CHUNK).build();
    let layer = tree.blobs()[1].clone();
    let app = repository(&client(&registry), &registry, "some/app").await;
    let content = Interrupting {
        content: layer.content.bytes(),
        position: 2 * CHUNK,
        registry: Mutex::new(Some(&mut registry)),
    };
    let mut options = known(&layer.descriptor.digest);
    options.chunk = Some(CHUNK);
    let pushed = app.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    assert!(content.registry.lock().unwrap().is_none());
    drop(content);
    let size = layer.descriptor.size;
    let found = app.blob(&layer.descriptor.digest, Some(size)).unwrap();
    assert_eq!(found.bytes(size).await.unwrap(), layer.content.bytes());
    // No new session was opened, and no chunk was sent twice.
    assert_eq!(count(&registry, "POST", 202, ""), 1);
    let chunks = size.div_ceil(CHUNK);
    assert_eq!(count(&registry, "PATCH", 202, "") as u64, chunks);
    assert_eq!(count(&registry, "PUT", 201, "/uploads/"), 1);
}

#[tokio::test]
async fn several_tags_name_one_image_and_none_can_be_deleted() {
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    let tree = image::single(34);
    let app = repository(&client(&registry), &registry, "some/app").await;
    push(&app, &tree, known).await;
    let tags: Vec<Tag> = ["latest", "1", "1.0"]
        .map(|tag| tag.parse().unwrap())
        .into();
    let (kind, document) = (tree.media_type(), tree.document());
    let stored = app.put_manifest_with_tags(None, kind, document, &tags);
    assert_eq!(stored.await.unwrap().digest, *tree.digest());
    // It does not support several tags in one request: one for the manifest and one for each tag.
    assert_eq!(count(&registry, "PUT", 201, "?tag="), 1);
    let (source, stable) = ("v1".parse().unwrap(), ["stable".parse().unwrap()]);
    let tagged = app.tag(&source, &stable).await.unwrap();
    assert_eq!(tagged.digest, *tree.digest());
    let tag: Tag = "latest".parse().unwrap();
    let refused = app.delete_tag(&tag).await.unwrap_err();
    // For a tag, it sends the error of a malformed digest, and deletes nothing.
    assert!(refused.to_string().contains("DIGEST_INVALID"), "{refused}");
    assert_eq!(count(&registry, "DELETE", 400, "/manifests/latest"), 1);
    assert_eq!(count(&registry, "DELETE", 202, ""), 0);
    let Some(skopeo) = registry.skopeo() else {
        return;
    };
    for tag in ["v1", "latest", "1", "1.0", "stable"] {
        let reference = format!("docker://{}/some/app:{tag}", registry.authority());
        assert_eq!(skopeo.raw_manifest(&reference), tree.document());
    }
    // Deleting by digest works, and deletes the tags too.
    assert!(app.delete_manifest(tree.digest()).await.unwrap());
    assert!(!app.delete_manifest(tree.digest()).await.unwrap());
}

#[tokio::test]
async fn a_read_only_registry_refuses_every_write() {
    let Some(mut registry) = DockerRegistry::builder().start() else {
        return;
    };
    let tree = image::single(35);
    let app = repository(&client(&registry), &registry, "some/app").await;
    push(&app, &tree, known).await;
    registry.restart_read_only();
    let other = image::single(36);
    let blob = other.blobs()[0].clone();
    let content = blob.content.bytes();
    let refused = app.put_blob(&content, known(&blob.descriptor.digest)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    let target = "v2".parse().unwrap();
    let refused = app.put_manifest(&target, tree.media_type(), tree.document());
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Unsupported);
    let refused = app.delete_manifest(tree.digest()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(count(&registry, "PUT", 201, "/manifests/"), 1);
}
