//! Identity tokens, as `docker login` leaves them, and a token server that only knows GET.

use std::fs;
use std::path::Path;

use http::Method;
use longshore_testkit::Listen;
use longshore_testkit::certificate::Authority;
use longshore_testkit::image;
use longshore_testkit::registry::Registry;
use longshore_testkit::token::TokenServer;
use longshore_tests::longshore::Longshore;
use tempfile::tempdir;

const IDENTITY: &str = "refresh-7a61f0";

// CR1, CR7
#[test]
fn an_identity_token_is_exchanged_by_get_where_post_is_refused() {
    let authority = Authority::new();
    let place = tempdir().unwrap();
    let ca = place.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let listen = || Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    // What a server takes for a user of this name, where it takes it at all.
    let tokens = TokenServer::builder().user("<token>", IDENTITY);
    let tokens = tokens.listen(listen()).start().unwrap();
    let tree = image::single(3);
    let registry = Registry::builder().listen(listen()).image("a", "1", &tree);
    let registry = registry.bearer(&tokens).start().unwrap();

    let name = registry.authority();
    let config = format!(r#"{{"auths":{{"{name}":{{"identitytoken":"{IDENTITY}"}}}}}}"#);
    let pull = Longshore::pull(&format!("{name}/a:1"), place.path().join("layout"));
    let pull = pull.docker_config(&config);
    let pull = pull.args([Path::new("--ca-file"), &ca]);
    assert_eq!(pull.run().succeeded(), tree.digest().as_str());

    let methods: Vec<Method> = tokens
        .requests()
        .matching(|_| true)
        .iter()
        .map(|request| request.method.clone())
        .collect();
    assert_eq!(methods, [Method::POST, Method::GET]);
    assert!(!registry.requests().hold(IDENTITY));
}
