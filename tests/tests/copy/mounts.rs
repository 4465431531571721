//! A copy within one registry moves no bytes, and a second copy sends few requests.

use super::*;

#[test]
fn blobs_are_mounted_with_one_request_each() {
    for (watched, tree) in [
        (Watched::docker(), image::many_layers(51, 60)),
        (Some(Watched::kit()), image::many_layers(52, 60)),
    ] {
        let Some(mut registry) = watched else { return };
        assert!(registry.peer.give(&tree, "some/app", "1"));
        let (from, to) = (registry.image("some/app:1"), registry.image("other/app:1"));
        let _ = registry.asked();
        names(&Longshore::copy(&from, &to).run(), &tree);
        let asked = registry.asked();
        for blob in tree.all_blobs() {
            let digest = blob.descriptor.digest.encoded();
            let about: Vec<_> = asked
                .iter()
                .filter(|it| it.target.contains(digest))
                .collect();
            let [mount] = about[..] else {
                panic!("more than a mount: {about:#?}")
            };
            assert_eq!((mount.method.as_str(), mount.status), ("POST", 201));
            assert!(mount.target.contains("from="), "{mount:?}");
        }
        assert_eq!(by("POST", &asked).len(), tree.all_blobs().len());
        // The only manifest.
        assert_eq!(by("PUT", &asked).len(), 1, "{asked:#?}");
        assert_eq!(by("PATCH", &asked).len(), 0, "{asked:#?}");
        registry.peer.assert_holds("other/app", "1", &tree);

        names(&Longshore::copy(&from, &to).run(), &tree);
        let again = registry.asked();
        assert!(again.len() <= 3, "{again:#?}");
    }
}

#[test]
fn a_second_copy_to_another_registry_reads_and_sends_no_blob() {
    let (Some(mut source), Some(mut destination)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let tree = image::twenty_platforms(53);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let _ = (source.asked(), destination.asked());
    names(&Longshore::copy(&from, &to).run(), &tree);
    let read = source.asked();
    for blob in tree.all_blobs() {
        let digest = blob.descriptor.digest.encoded();
        let times = read.iter().filter(|it| it.target.contains(digest)).count();
        assert_eq!(times, 1, "{digest}: {read:#?}");
    }
    let _ = destination.asked();
    names(&Longshore::copy(&from, &to).run(), &tree);
    let (read, written) = (source.asked(), destination.asked());
    assert_eq!(read.len(), 1, "{read:#?}");
    // An index may lack some of its images, so each is asked for.
    only_reads(&written);
    assert!(written.len() <= tree.documents().len(), "{written:#?}");
    let blobs = written.iter().filter(|it| it.target.contains("/blobs/"));
    assert_eq!(blobs.count(), 0, "{written:#?}");
}
