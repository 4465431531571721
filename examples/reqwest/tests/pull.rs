//! Pulls an image over the transport from a registry that requires tokens.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use longshore::model::{Digest, Reference};
use longshore::origin::Secret;
use longshore::transport::TlsIdentity;
use longshore::{Client, Credential, ErrorKind, HostSettings, OneCredential};
use longshore_example_reqwest::{ReqwestTransport, TokioClock};
use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Tree};
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{Listen, ScriptedResponse};
use reqwest::{Certificate, ClientBuilder};

const USER: &str = "ahab";
const PASSWORD: &str = "white-whale";

/// An image in a registry, and the token server that the registry sends its clients to.
struct Scene {
    tokens: TokenServer,
    registry: Registry,
    tree: Tree,
}

impl Scene {
    fn set(listen: impl Fn() -> Listen) -> Self {
        let tokens = TokenServer::builder().user(USER, PASSWORD);
        let tokens = tokens.listen(listen()).start().unwrap();
        let tree = image::single(1);
        let registry = Registry::builder()
            .listen(listen())
            .image("library/app", "1.0", &tree)
            .bearer(&tokens)
            .start()
            .unwrap();
        Self {
            tokens,
            registry,
            tree,
        }
    }

    /// A client over `transport` that has the password of the registry.
    fn client(&self, transport: ReqwestTransport, settings: HostSettings) -> Client {
        let authority = self.registry.authority();
        let password = Secret::new(PASSWORD.to_owned());
        let credential = Credential::basic(USER, password).unwrap();
        Client::builder()
            .transport(transport)
            .clock(TokioClock::default())
            .credentials(OneCredential::new(&authority, credential))
            .host(&authority, settings)
            .build()
            .unwrap()
    }

    /// Settings that permit sending the password to the token server over plain http.
    fn allowing_the_token_server(&self) -> HostSettings {
        let realm = format!("http://{}", self.tokens.address());
        let mut settings = HostSettings::default();
        settings.allow_realm.push(realm.parse().unwrap());
        settings
    }

    fn reference(&self) -> Reference {
        let authority = self.registry.authority();
        format!("{authority}/library/app:1.0").parse().unwrap()
    }

    /// Reads the manifest and every blob it names. The client verifies each of them.
    async fn pull(&self, client: &Client) -> Result<Vec<Digest>, longshore::Error> {
        let reference = self.reference();
        let repository = client.repository(&reference).await?;
        let pulled = repository.manifest(&reference.target()).await?;
        let image = pulled.manifest.document().as_image().unwrap();
        let mut digests = vec![pulled.digest().clone()];
        for blob in std::iter::once(&image.config).chain(&image.layers) {
            let reader = repository.blob(&blob.digest, Some(blob.size))?;
            let content = reader.bytes(1 << 20).await?;
            digests.push(Digest::sha256(&content));
        }
        Ok(digests)
    }

    /// The digests of the whole image.
    fn expected(&self) -> Vec<Digest> {
        let blobs = self.tree.blobs().iter();
        let blobs = blobs.map(|blob| blob.descriptor.digest.clone());
        std::iter::once(self.tree.digest().clone())
            .chain(blobs)
            .collect()
    }
}

fn settings() -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

// Nothing is configured, so the client tries TLS first. It speaks plain http because the transport
// reports that the peer does not speak TLS.
#[tokio::test]
async fn an_image_is_pulled_from_a_registry_on_this_machine() {
    let scene = Scene::set(Listen::loopback);
    let host = scene.allowing_the_token_server();
    let client = scene.client(ReqwestTransport::new(settings), host);
    assert_eq!(scene.pull(&client).await.unwrap(), scene.expected());
    // One token serves all requests, and only the token server sees the password.
    assert_eq!(scene.tokens.requests().len(), 1);
    assert!(scene.tokens.requests().hold(PASSWORD));
    assert!(!scene.registry.requests().hold(PASSWORD));
}

#[tokio::test]
async fn an_image_is_pulled_over_tls_with_roots_of_its_own() {
    let authority = Authority::new();
    let scene = Scene::set(|| Listen::loopback().tls(authority.server(&["127.0.0.1"])));
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let trusting = move || settings().tls_certs_merge([root.clone()]);

    // The token server is another origin, and is spoken to with the default settings.
    let identity = TlsIdentity::named("own roots");
    let transport = ReqwestTransport::new(trusting.clone()).identity(identity.clone(), trusting);
    let mut host = HostSettings::default();
    host.tls = identity;
    let client = scene.client(transport, host.clone());
    assert_eq!(scene.pull(&client).await.unwrap(), scene.expected());

    // Without the roots the certificate is refused, and there is no fallback to plain http.
    let client = scene.client(ReqwestTransport::new(settings), HostSettings::default());
    let requests = scene.registry.requests().len();
    let error = scene.pull(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // A request with an unknown identity is refused, not sent with other settings.
    let client = scene.client(ReqwestTransport::new(settings), host);
    let error = scene.pull(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(scene.registry.requests().len(), requests);
}

// The policy of a redirect is checked by the resolver, so names can be followed.
#[tokio::test]
async fn blobs_are_followed_to_another_host() {
    let scene = Scene::set(Listen::loopback);
    let blobs: Vec<_> = scene.tree.blobs().to_vec();
    let storage = Recorder::start(Listen::loopback(), move |request| {
        let digest = request.path().trim_start_matches('/');
        let mut stored = blobs.iter();
        let stored = stored.find(|blob| blob.descriptor.digest.as_str() == digest);
        ScriptedResponse::status(http::StatusCode::OK).body(stored.unwrap().content.clone())
    })
    .unwrap();
    for blob in scene.tree.blobs() {
        let digest = blob.descriptor.digest.clone();
        let to = format!("http://localhost:{}/{digest}", storage.address().port());
        let rule = Rule::on(Part::Blob, Misbehaviour::Redirect(to));
        scene.registry.misbehave(rule.path(digest.as_str()));
    }
    let host = scene.allowing_the_token_server();
    let client = scene.client(ReqwestTransport::new(settings), host);
    assert_eq!(scene.pull(&client).await.unwrap(), scene.expected());
    assert_eq!(storage.requests().len(), scene.tree.blobs().len());
    // The token is for the registry alone.
    let shown = storage.requests().count(|request| request.is_authorized());
    assert_eq!(shown, 0);
}
