//! Pushes through proxies. The registries do not listen on loopback, because no proxy is used for
//! loopback.

use longshore_tests::microsocks::Microsocks;
use longshore_tests::network;
use longshore_tests::tinyproxy::Tinyproxy;

use super::*;

const PROXY_USER: &str = "proxy-user";
const PROXY_PASSWORD: &str = "proxy-p4ssw0rd";

fn with_login(url: &str) -> ProxySettings {
    let (scheme, address) = url.split_once("://").unwrap();
    let url = format!("{scheme}://{PROXY_USER}:{PROXY_PASSWORD}@{address}");
    ProxySettings::url(&url, "").unwrap()
}

/// Pushes an image through a proxy, whole and in chunks; skopeo reads it without a proxy.
async fn pushes_through(registry: &DockerRegistry, proxy: ProxySettings, name: &str) -> bool {
    let Some(skopeo) = registry.skopeo() else {
        return false;
    };
    let tree = image::single(21);
    let client = client_through(registry, proxy);
    for chunk in [None, Some(1000)] {
        let name = format!("{name}/{}", chunk.map_or("whole", |_| "chunks"));
        let repository = repository(&client, registry, &name).await;
        let options = |digest: &Digest| {
            let mut options = known(digest);
            options.chunk = chunk;
            options
        };
        let outcomes = push(&repository, &tree, options).await;
        assert!(outcomes.iter().all(|it| *it == UploadOutcome::Sent));
        let place = tempdir().unwrap();
        let reference = format!("{}/{name}:v1", registry.authority());
        skopeo.pull_layout(&reference, place.path(), "v1");
        let source = format!("oci:{}:v1", place.path().display());
        assert_eq!(skopeo.raw_manifest(&source), tree.document());
    }
    true
}

#[tokio::test]
async fn a_push_goes_through_the_tunnel_of_tinyproxy() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let builder = DockerRegistry::builder().address(host);
    let Some(registry) = builder.bearer().tls().start() else {
        return;
    };
    if pushes_through(&registry, with_login(&proxy.url()), "tunnel").await {
        let seen = proxy.requests();
        for target in [registry.address(), registry.tokens().unwrap().address()] {
            assert!(
                seen.contains(&format!("CONNECT {target} HTTP/1.1")),
                "{seen:?}"
            );
        }
        assert!(seen.iter().all(|it| it.starts_with("CONNECT ")), "{seen:?}");
    }
}

// tinyproxy closes the connection after each answer, without announcing that.
#[tokio::test]
async fn a_push_without_tls_goes_through_tinyproxy() {
    let proxy = Tinyproxy::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let Some(registry) = DockerRegistry::builder().address(host).basic().start() else {
        return;
    };
    if pushes_through(&registry, with_login(&proxy.url()), "plain").await {
        assert!(!proxy.requests().is_empty());
    }
}

#[tokio::test]
async fn a_push_goes_through_microsocks() {
    let proxy = Microsocks::start(Some((PROXY_USER, PROXY_PASSWORD)));
    let (Some(host), Some(proxy)) = (network::address(), proxy) else {
        return;
    };
    let builder = DockerRegistry::builder().address(host);
    let Some(registry) = builder.bearer().tls().start() else {
        return;
    };
    for scheme in ["socks5", "socks5h"] {
        let url = format!("{scheme}://{}", proxy.address());
        if pushes_through(&registry, with_login(&url), scheme).await {
            let seen = proxy.targets();
            for target in [registry.address(), registry.tokens().unwrap().address()] {
                assert!(seen.contains(&target.to_string()), "{seen:?}");
            }
        }
    }
}
