//! `digest`, `manifest get` and `ping`: asked without pulling.

use super::*;

// RT8
#[test]
fn digest_asks_without_pulling() {
    let tree = image::twenty_platforms(15);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference = format!("{}/a:1", registry.authority());
    let plain = Longshore::new(["digest", &reference]).run();
    assert_eq!(plain.succeeded(), tree.digest().as_str());
    let asked = registry.requests_to(Part::Manifest);
    assert!(asked.iter().all(|request| request.method == Method::HEAD));
    let told = Longshore::new(["digest", &reference, "--output", "json"]).run();
    let digest = tree.digest().as_str();
    assert_eq!(
        told.json(),
        json!({"reference": reference, "digest": digest})
    );
    let platform = ["digest", &reference, "--platform", "linux/riscv64"];
    let child = tree.child("linux/riscv64").unwrap();
    assert_eq!(
        Longshore::new(platform).run().succeeded(),
        child.digest().as_str()
    );
}

// DG4
#[test]
fn manifest_get_prints_the_exact_bytes() {
    let tree = image::twenty_platforms(16);
    let Some(scene) = Scene::set(DockerRegistry::builder().bearer().tls(), &tree) else {
        return;
    };
    let get = |options: &[&str]| {
        let get = Longshore::new(["manifest", "get", &scene.reference]).args(options);
        scene.registry.admit(get).run()
    };
    assert_eq!(get(&[]).stdout.as_bytes(), tree.document());
    let child = tree.child("linux/ppc64le").unwrap();
    let platform = get(&["--platform", "linux/ppc64le"]);
    assert_eq!(platform.stdout.as_bytes(), child.document());
    let told = get(&["--output", "json"]).json();
    assert_eq!(told["digest"], tree.digest().as_str());
    assert_eq!(told["media_type"], tree.media_type().as_str());
    assert_eq!(told["size"], tree.document().len());
    assert_eq!(told["reference"], scene.reference);
    assert_eq!(told["document"]["manifests"].as_array().unwrap().len(), 20);
}

#[test]
fn ping_says_whether_a_registry_may_be_used() {
    for builder in [
        DockerRegistry::builder(),
        DockerRegistry::builder().basic(),
        DockerRegistry::builder().bearer().tls(),
    ] {
        let Some(registry) = builder.start() else {
            return;
        };
        let name = registry.authority();
        let ping = registry.admit(Longshore::new(["ping", &name])).run();
        assert_eq!(
            ping.succeeded(),
            format!("{name} is a registry and may be used")
        );
        let json = Longshore::new(["ping", &name, "--output", "json"]);
        let told = registry.admit(json).run().json();
        assert_eq!(told, json!({"registry": name, "named": true}));
    }
}
