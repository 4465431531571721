//! The promise to those who take the model alone: this test sees no other crate of the project.

use longshore_model::{Digest, Document, Manifest, Platform, Reference};

#[test]
fn only_the_model() {
    let reference: Reference = "registry.example:5000/team/app:v1".parse().unwrap();
    assert_eq!(reference.registry(), "registry.example:5000");
    assert_eq!(reference.repository_str(), "team/app");
    assert_eq!(reference.tag_str(), Some("v1"));

    let image = br#"{"schemaVersion":2,
        "config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
        "layers":[]}"#;
    let image = Manifest::parse(image.as_slice().into(), None).unwrap();
    assert_eq!(*image.digest(), Digest::sha256(image.bytes()));
    let Document::Image(view) = image.document() else {
        panic!("a config makes it an image manifest");
    };
    assert_eq!(view.config.digest, Digest::sha256(b"{}"));

    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","size":{},"digest":"{}",
        "platform":{{"os":"linux","architecture":"arm64"}}}}]}}"#,
        image.media_type().as_str(),
        image.bytes().len(),
        image.digest()
    );
    let index = Manifest::parse(index.into(), None).unwrap();
    let wanted: Platform = "linux/arm64".parse().unwrap();
    let Document::Index(view) = index.document() else {
        panic!("manifests make it an index");
    };
    assert_eq!(view.select(&wanted).unwrap().digest, *image.digest());
}
