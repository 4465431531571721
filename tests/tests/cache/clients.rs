//! Each client pulls through the cache with the very files that `cache client-config` wrote, and
//! a second pull costs the upstreams nothing.

use longshore_tests::buildah::Buildah;
use longshore_tests::containerd::Containerd;
use longshore_tests::dockerd::Dockerd;
use longshore_tests::http::{self, Reply};
use longshore_tests::podman::Podman;
use longshore_tests::skopeo::Skopeo;
use serde_json::Value;

use super::*;

const HUB: &str = "docker.io/library/app:1";
const QUAY: &str = "quay.io/team/tool:1";

/// Pulls both images with a client that has nothing yet, and then again.
///
/// `pull` gets a reference and the seed of the image, and returns digests of which one must be
/// that of the index.
#[track_caller]
fn judge(site: &mut Site, references: [&str; 2], mut pull: impl FnMut(&str, u64) -> Vec<String>) {
    let images = [
        (site.app.digest().to_string(), 11),
        (site.tool.digest().to_string(), 21),
    ];
    let mut pull_both = || {
        for (reference, (digest, seed)) in references.iter().zip(&images) {
            let digests = pull(reference, *seed);
            assert!(digests.contains(digest), "{reference}: {digests:?}");
        }
    };
    let nothing_yet = site.upstream_requests();
    pull_both();
    let cold = site.upstream_requests();
    assert!(cold > nothing_yet);
    let agents = site.hub.requests().into_iter().chain(site.quay.requests());
    let agents: Vec<_> = agents.map(|it| it.agent).collect();
    let is_ours = |agent: &&String| agent.starts_with("longshore/");
    assert!(agents.iter().any(|it| is_ours(&it)), "{agents:?}");
    pull_both();
    assert_eq!(site.upstream_requests(), cold, "{}", site.cache.said());
}

#[test]
fn skopeo_pulls_with_the_files_for_podman() {
    let (Some(skopeo), Some(mut site)) = (Skopeo::find(), Site::start()) else {
        return;
    };
    let skopeo = skopeo.registries(&registries_conf(&site));
    judge(&mut site, [HUB, QUAY], |reference, _| {
        let place = tempfile::tempdir().unwrap();
        skopeo.pull_layout(reference, place.path(), "1");
        let manifest = skopeo.raw_manifest(&format!("oci:{}:1", place.path().display()));
        vec![longshore::model::Digest::sha256(&manifest).to_string()]
    });
}

#[test]
fn podman_pulls_with_its_files() {
    let (Some(_), Some(mut site)) = (Podman::find(), Site::start()) else {
        return;
    };
    let registries = registries_conf(&site);
    judge(&mut site, [HUB, QUAY], |reference, seed| {
        let podman = Podman::find().unwrap().registries(&registries);
        let pulled = podman.pull(reference);
        assert_unpacked(&pulled.files, seed);
        pulled.digests
    });
}

#[test]
fn buildah_pulls_with_the_files_for_podman() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let registries = registries_conf(&site);
    if Buildah::find(&registries).is_none() {
        return;
    }
    let indexes = [site.app.clone(), site.tool.clone()];
    judge(&mut site, [HUB, QUAY], |reference, _| {
        let found = Buildah::find(&registries).unwrap().pull(reference);
        // buildah reports the image that it chose from the index.
        let index = indexes.iter().find(|it| {
            let [_, image] = it.children() else {
                unreachable!("the index has two images")
            };
            image.digest().as_str() == found
        });
        let index = index.map(|it| it.digest().to_string());
        index.into_iter().chain([found]).collect()
    });
}

#[test]
fn containerd_pulls_with_its_files() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let hosts = site.installed("containerd").join("etc/containerd/certs.d");
    if Containerd::start().is_none() {
        return;
    }
    judge(&mut site, [HUB, QUAY], |reference, seed| {
        let containerd = Containerd::start().unwrap().hosts(&hosts);
        let pulled = containerd.pull(reference);
        assert_unpacked(&pulled.files, seed);
        vec![pulled.digest]
    });
}

#[test]
fn dockerd_pulls_with_its_file_and_others_by_name() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let settings = site.installed("docker").join("etc/docker/daemon.json");
    let Some(dockerd) = Dockerd::start(&settings) else {
        return;
    };
    let by_name = site.by_name(QUAY);
    judge(&mut site, ["app:1", &by_name], |reference, _| {
        let digest = dockerd.pull(reference);
        dockerd.remove(reference);
        vec![digest]
    });
}

#[test]
fn longshore_pulls_by_name() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let (hub, quay) = (site.by_name(HUB), site.by_name(QUAY));
    judge(&mut site, [&hub, &quay], |reference, _| {
        let place = tempfile::tempdir().unwrap();
        let pulled = Longshore::pull(reference, place.path().join("layout")).run();
        vec![pulled.succeeded().to_owned()]
    });
}

#[test]
fn a_client_that_asks_with_head_gets_what_get_returns() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let address = site.cache.address();
    let names = [
        ("docker.io/library/app", &site.app),
        ("quay.io/team/tool", &site.tool),
    ];
    let mut replies = Vec::new();
    for (name, index) in names {
        let tag = format!("/v2/{name}/manifests/1");
        let head = http::send(address, "HEAD", &tag, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{}", head.head);
        let field = |name: &str| head.header(name).unwrap_or_default().to_owned();
        assert_eq!(field("docker-content-digest"), index.digest().to_string());
        assert_eq!(field("content-type"), index.media_type().as_str());
        assert_eq!(field("content-length"), index.document().len().to_string());
        let by_digest = format!("/v2/{name}/manifests/{}", field("docker-content-digest"));
        let get = http::send(address, "GET", &by_digest, &[]);
        assert_eq!(get.body, index.document());
        assert_eq!(described(&get), described(&head));
        replies.push((tag, by_digest, described(&head)));
    }
    let before = site.upstream_requests();
    for (tag, by_digest, expected) in replies {
        for path in [tag, by_digest] {
            let found = http::send(address, "HEAD", &path, &[]);
            assert_eq!(described(&found), expected);
        }
    }
    assert_eq!(site.upstream_requests(), before);
}

/// Status, type, length and digest.
fn described(reply: &Reply) -> (u16, [Option<String>; 3]) {
    let names = ["content-type", "content-length", "docker-content-digest"];
    (
        reply.status,
        names.map(|name| reply.header(name).map(str::to_owned)),
    )
}

#[test]
fn the_configurations_of_other_clients_name_every_registry() {
    let Some(site) = Site::start() else {
        return;
    };
    let server = site.cache.authority();
    let content = |client: &str| {
        let found = site.client_config(client).args(["--output", "json"]).run();
        found.json()
    };
    let of_file = |value: &Value| value["files"][0]["content"].as_str().unwrap().to_owned();
    let k3s = of_file(&content("k3s"));
    let buildkit = of_file(&content("buildkit"));
    let kaniko = content("kaniko");
    for registry in ["docker.io", "quay.io"] {
        let endpoint = format!("  \"{registry}\":\n    endpoint:\n      - \"http://{server}\"\n");
        assert!(k3s.contains(&endpoint), "{k3s}");
        let mirror = format!("[registry.\"{registry}\"]\n  mirrors = [\"{server}/{registry}\"]\n");
        assert!(buildkit.contains(&mirror), "{buildkit}");
    }
    let http = format!("[registry.\"{server}\"]\n  http = true\n");
    assert!(buildkit.contains(&http), "{buildkit}");
    let [map, insecure] = &kaniko["arguments"].as_array().unwrap()[..] else {
        panic!("{kaniko}")
    };
    let map = map.as_str().unwrap().strip_prefix("--registry-map=");
    let entries: Vec<_> = map.unwrap().split(';').collect();
    for registry in ["docker.io", "quay.io"] {
        let entry = format!("{registry}={server}/{registry}");
        assert!(entries.contains(&entry.as_str()), "{entries:?}");
    }
    assert_eq!(*insecure, format!("--insecure-registry={server}"));
}

/// The installed file for podman, skopeo and buildah.
fn registries_conf(site: &Site) -> PathBuf {
    let root = site.installed("podman");
    root.join("etc/containers/registries.conf.d/50-longshore.conf")
}
