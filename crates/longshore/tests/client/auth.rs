//! Challenges, tokens, and how many requests they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::Response;
use longshore::auth::AuthError;
use longshore::model::{Digest, TagOrDigest};
use longshore::transport::{Body, TestClock, from_fn};
use longshore::{Cause, Credential, ErrorKind, OneCredential, Repository, TokenCache};
use tokio::sync::Semaphore;

use crate::support::{
    AUTH, BASIC, HOME, MANIFEST, Net, Seen, app, basic, blob_uri, builder, reference, reply, seen,
    timed,
};

pub(crate) const CHALLENGE: &str =
    r#"Bearer realm="https://auth.example.com/token",service="r",scope="repository:app:pull""#;
pub(crate) const TOKEN_URI: &str =
    "https://auth.example.com/token?service=r&scope=repository%3Aapp%3Apull";
pub(crate) const MANIFEST_URI: &str = "https://r.example.com/v2/app/manifests/v1";

/// A registry that wants tokens of [`AUTH`]: `t1`, `t2`, … for five minutes each.
#[derive(Clone, Default)]
struct Tokens(Arc<Counts>);

#[derive(Default)]
struct Counts {
    issued: AtomicU32,
    revoked: AtomicU32,
}

impl Tokens {
    fn net(&self) -> Net {
        let tokens = self.clone();
        Net::serving(move |seen| tokens.answer(seen))
    }

    /// Lets no token issued so far in again.
    fn revoke(&self) {
        let issued = self.0.issued.load(Ordering::SeqCst);
        self.0.revoked.store(issued, Ordering::SeqCst);
    }

    fn answer(&self, seen: &Seen) -> Response<Body> {
        if seen.uri.starts_with(AUTH) {
            let number = self.0.issued.fetch_add(1, Ordering::SeqCst) + 1;
            return reply(
                200,
                &[],
                format!(r#"{{"token":"t{number}","expires_in":300}}"#).into_bytes(),
            );
        }
        let shown = seen
            .header("authorization")
            .and_then(|v| v.strip_prefix("Bearer t"));
        let shown: u32 = shown.map_or(0, |number| number.parse().unwrap());
        if shown <= self.0.revoked.load(Ordering::SeqCst) {
            return unauthorized(CHALLENGE);
        }
        content(seen)
    }
}

pub(crate) fn unauthorized(challenge: &str) -> Response<Body> {
    reply(401, &[("www-authenticate", challenge)], "")
}

fn content(seen: &Seen) -> Response<Body> {
    match seen.uri.rsplit_once('/').unwrap().1 {
        "v1" => reply(200, &[], MANIFEST),
        "" => reply(200, &[], ""),
        digest => match [b"one", b"two"]
            .iter()
            .find(|b| Digest::sha256(&b[..]).as_str() == digest)
        {
            Some(blob) => reply(200, &[], blob.to_vec()),
            None => reply(404, &[], ""),
        },
    }
}

/// The digest of the manifest `v1`, and both blobs.
async fn pull(app: &Repository) -> String {
    let tag: TagOrDigest = "v1".parse().unwrap();
    let digest = app.manifest(&tag).await.unwrap().digest().to_string();
    for content in [b"one", b"two"] {
        let blob = app.blob(&Digest::sha256(content), Some(3)).unwrap();
        assert_eq!(blob.bytes(9).await.unwrap(), &content[..]);
    }
    digest
}

// CR3
#[tokio::test]
async fn cr3_a_password_answers_a_basic_challenge() {
    let net = Net::serving(|seen| match seen.header("authorization") {
        Some(BASIC) => content(seen),
        None => unauthorized(r#"Basic realm="r""#),
        other => panic!("{other:?}"),
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    pull(&app).await;
    assert_eq!(
        net.lines(),
        [
            format!("GET {MANIFEST_URI}"),
            format!("GET {MANIFEST_URI} {BASIC}"),
            format!("GET {} {BASIC}", blob_uri(HOME, b"one")),
            format!("GET {} {BASIC}", blob_uri(HOME, b"two")),
        ]
    );
}

#[tokio::test]
async fn re1_a_realm_that_is_a_path_is_asked_at_the_registry() {
    let challenge = r#"Bearer realm="/zot/auth/token",service="r""#;
    let net = Net::serving(move |seen| match seen.header("authorization") {
        _ if seen.uri.contains("/zot/auth/token") => reply(200, &[], r#"{"token":"t"}"#),
        Some("Bearer t") => content(seen),
        _ => unauthorized(challenge),
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    pull(&app).await;
    let token = format!("{HOME}/zot/auth/token?service=r&scope=repository%3Aapp%3Apull");
    assert_eq!(net.lines()[1], format!("GET {token} {BASIC}"));
}

#[tokio::test]
async fn one_401_one_token_and_no_ping_for_a_manifest_and_its_blobs() {
    let net = Tokens::default().net();
    let app = app(builder(&net).build().unwrap()).await;
    pull(&app).await;
    assert_eq!(
        net.lines(),
        [
            format!("GET {MANIFEST_URI}"),
            format!("GET {TOKEN_URI}"),
            format!("GET {MANIFEST_URI} Bearer t1"),
            format!("GET {} Bearer t1", blob_uri(HOME, b"one")),
            format!("GET {} Bearer t1", blob_uri(HOME, b"two")),
        ]
    );
}

/// A registry whose token service answers only when so many callers have been refused.
fn held(callers: u32, answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> Net {
    let refused = Arc::new(Semaphore::new(0));
    Net::over(from_fn(move |request| {
        let (refused, answer) = (Arc::clone(&refused), answer.clone());
        async move {
            if request.uri().host() == Some("auth.example.com") {
                let _all = refused.acquire_many(callers).await.unwrap();
                return Ok(answer());
            }
            Ok(match request.headers().get("authorization") {
                None => {
                    refused.add_permits(1);
                    unauthorized(CHALLENGE)
                }
                Some(token) if token == "Bearer t" => reply(200, &[], MANIFEST),
                Some(other) => panic!("{other:?}"),
            })
        }
    }))
}

/// The results of this many pulls of `v1` at the same time.
async fn at_once(app: &Repository, callers: usize) -> Vec<Result<String, longshore::Error>> {
    let pulls = (0..callers).map(|_| {
        let app = app.clone();
        tokio::spawn(async move {
            let pulled = app.manifest(&"v1".parse().unwrap()).await?;
            Ok(pulled.digest().to_string())
        })
    });
    let mut results = Vec::new();
    for pull in pulls.collect::<Vec<_>>() {
        results.push(pull.await.unwrap());
    }
    results
}

#[tokio::test]
async fn concurrent_misses_make_one_token_request() {
    let net = held(8, || reply(200, &[], r#"{"token":"t"}"#));
    let app = app(builder(&net).build().unwrap()).await;
    for result in at_once(&app, 8).await {
        assert_eq!(
            result.unwrap(),
            Digest::sha256(MANIFEST.as_bytes()).as_str()
        );
    }
    assert_eq!(net.count(AUTH), 1);
    assert_eq!(net.count(HOME), 16);
}

// CR7: eight refusals of one password may lock an account.
#[tokio::test]
async fn those_who_waited_share_the_failure_too() {
    let net = held(8, || reply(401, &[], ""));
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    for result in at_once(&app, 8).await {
        let error = result.unwrap_err();
        let Cause::Auth(AuthError::CredentialsRefused { by, .. }, _) = error.cause() else {
            panic!("{error:?}")
        };
        assert_eq!(by.to_string(), AUTH);
    }
    assert_eq!(net.count(AUTH), 1);
}

#[tokio::test]
async fn two_clients_share_the_tokens_of_one_cache() {
    let net = Tokens::default().net();
    let cache = TokenCache::new(TestClock::default());
    for _ in 0..2 {
        let client = builder(&net).token_cache(cache.clone()).build().unwrap();
        pull(&app(client).await).await;
    }
    // The second client has to learn how the registry wants to be asked, but needs no token.
    assert_eq!((net.count(AUTH), net.count(HOME)), (1, 4 + 4));
    assert_eq!(cache.len(), 1);
    cache.clear();
    let client = builder(&net).token_cache(cache.clone()).build().unwrap();
    pull(&app(client).await).await;
    assert_eq!(net.count(AUTH), 2);
}

#[tokio::test]
async fn without_a_cache_the_results_are_the_same_and_the_requests_more() {
    let net = Tokens::default().net();
    let cached = pull(&app(builder(&net).build().unwrap()).await).await;
    assert_eq!((net.count(AUTH), net.count(HOME)), (1, 4));

    let net = Tokens::default().net();
    let uncached = app(builder(&net).no_token_cache().build().unwrap()).await;
    assert_eq!(pull(&uncached).await, cached);
    assert_eq!((net.count(AUTH), net.count(HOME)), (3, 6));
}

#[tokio::test]
async fn a_401_on_a_cached_token_makes_one_handshake_and_keeps_its_token() {
    let tokens = Tokens::default();
    let net = tokens.net();
    let app = app(builder(&net).build().unwrap()).await;
    pull(&app).await;
    tokens.revoke();
    let before = net.lines().len();
    pull(&app).await;
    assert_eq!(
        net.lines()[before..],
        [
            format!("GET {MANIFEST_URI} Bearer t1"),
            format!("GET {TOKEN_URI}"),
            format!("GET {MANIFEST_URI} Bearer t2"),
            format!("GET {} Bearer t2", blob_uri(HOME, b"one")),
            format!("GET {} Bearer t2", blob_uri(HOME, b"two")),
        ]
    );
}

#[tokio::test]
async fn callers_with_the_same_stale_token_make_one_handshake() {
    let tokens = Tokens::default();
    let registry = tokens.clone();
    let net = Net::over(from_fn(move |request| {
        let response = registry.answer(&seen(&request));
        async {
            // The others come as far as this one.
            tokio::task::yield_now().await;
            Ok(response)
        }
    }));
    let app = app(builder(&net).build().unwrap()).await;
    pull(&app).await;
    tokens.revoke();
    for result in at_once(&app, 8).await {
        result.unwrap();
    }
    assert_eq!(net.count(AUTH), 2);
}

// CR7
#[tokio::test]
async fn cr7_a_registry_that_refuses_every_token_is_not_asked_for_ever() {
    let issue = AtomicU32::new(0);
    let net = Net::serving(move |seen| {
        if !seen.uri.starts_with(AUTH) {
            return unauthorized(&format!("{CHALLENGE},error=\"invalid_token\""));
        }
        let number = issue.fetch_add(1, Ordering::SeqCst);
        reply(200, &[], format!(r#"{{"token":"t{number}"}}"#).into_bytes())
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!((net.count(AUTH), net.count(HOME)), (2, 3));
}

// CR7: a 403 may ask for another token, once; without that word it is a refusal.
#[tokio::test]
async fn cr7_a_403_that_asks_for_a_wider_token_gets_one() {
    let wider = format!("{CHALLENGE},error=\"insufficient_scope\"");
    for (challenge, expected) in [(&*wider, Ok((2, 3))), (CHALLENGE, Err(ErrorKind::Denied))] {
        let (tokens, challenge) = (Tokens::default(), challenge.to_owned());
        let registry = tokens.clone();
        let net = Net::serving(move |seen| match seen.header("authorization") {
            Some("Bearer t1") => reply(403, &[("www-authenticate", &challenge)], ""),
            _ => registry.answer(seen),
        });
        let app = app(builder(&net).build().unwrap()).await;
        let result = app.manifest(&"v1".parse().unwrap()).await;
        let found = result.map(|_| (net.count(AUTH), net.count(HOME)));
        assert_eq!(found.map_err(|error| error.kind()), expected);
    }
}

// RT7: 300 s, less a margin of 10 s.
#[tokio::test]
async fn rt7_a_token_is_renewed_before_it_expires_and_without_a_401() {
    let net = Tokens::default().net();
    let clock = TestClock::default();
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let v1: TagOrDigest = "v1".parse().unwrap();
    app.manifest(&v1).await.unwrap();
    clock.advance(Duration::from_secs(289));
    app.manifest(&v1).await.unwrap();
    assert_eq!(net.count(AUTH), 1);
    clock.advance(Duration::from_secs(1));
    app.manifest(&v1).await.unwrap();
    assert_eq!(
        net.lines()[4..],
        [
            format!("GET {TOKEN_URI}"),
            format!("GET {MANIFEST_URI} Bearer t2"),
        ]
    );
}

// An explicit TTL, by the clock of the cache, not of the client.
#[tokio::test]
async fn a_cache_keeps_its_own_time_and_the_ttl_it_is_given() {
    use longshore::auth::{Realm, ScopeSet, Token, TokenKey};

    let clock = TestClock::default();
    let cache = TokenCache::new(clock.clone());
    let realm = Realm::parse(b"https://auth.example.com/token").unwrap();
    let scope = ScopeSet::pull("app");
    let key = TokenKey::new(HOME.parse().unwrap(), realm, "r", &scope, None);
    let token = Token::new("t7".to_owned()).unwrap();
    cache.put(key.clone(), token.clone(), Some(Duration::from_secs(100)));

    let net = Tokens::default().net();
    let client = builder(&net).token_cache(cache.clone()).build().unwrap();
    let app = app(client).await;
    pull(&app).await;
    assert_eq!(net.count(AUTH), 0);
    clock.advance(Duration::from_secs(90));
    assert_eq!(cache.get(&key), None);
    pull(&app).await;
    assert_eq!(net.count(AUTH), 1);
    cache.put(key.clone(), token, Some(Duration::ZERO));
    assert_eq!(cache.get(&key), None);
}

#[tokio::test]
async fn a_token_earned_by_one_client_serves_another_without_a_cache() {
    let net = Tokens::default().net();
    let earner = builder(&net).credentials(basic()).no_token_cache();
    let token = app(earner.build().unwrap()).await.token().await.unwrap();
    assert_eq!(
        net.lines(),
        [
            format!("GET {HOME}/v2/"),
            format!("GET {TOKEN_URI} {BASIC}"),
            format!("GET {HOME}/v2/ Bearer t1"),
        ]
    );

    let given = OneCredential::new("r.example.com", token.unwrap());
    let user = builder(&net).credentials(given).no_token_cache();
    let app = app(user.build().unwrap()).await;
    pull(&app).await;
    assert_eq!(
        net.lines()[3..],
        [
            format!("GET {MANIFEST_URI}"),
            format!("GET {MANIFEST_URI} Bearer t1"),
            format!("GET {} Bearer t1", blob_uri(HOME, b"one")),
            format!("GET {} Bearer t1", blob_uri(HOME, b"two")),
        ]
    );
}

#[tokio::test]
async fn a_registry_that_asks_for_no_token_has_none_to_give() {
    let net = Net::serving(content);
    let app = app(builder(&net).build().unwrap()).await;
    assert_eq!(app.token().await.unwrap(), None);
}

#[tokio::test]
async fn a_given_token_that_is_refused_is_not_exchanged() {
    let net = Tokens::default().net();
    let token = Credential::Token(longshore::origin::Secret::new("t0".to_owned()));
    let given = OneCredential::new("r.example.com", token);
    let app = app(builder(&net).credentials(given).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(net.count(AUTH), 0);
}

// CR6
#[tokio::test]
async fn cr6_a_token_serves_one_repository_one_registry_and_one_account() {
    let issue = AtomicU32::new(0);
    let net = Net::serving(move |seen| {
        if seen.uri.starts_with(AUTH) {
            let number = issue.fetch_add(1, Ordering::SeqCst) + 1;
            return reply(200, &[], format!(r#"{{"token":"t{number}"}}"#).into_bytes());
        }
        match seen.header("authorization") {
            // Another name for the same service, and no scope to tell the repositories apart.
            None => unauthorized(r#"Bearer realm="https://auth.example.com/token",service="r""#),
            Some(_) => content(seen),
        }
    });
    let cache = TokenCache::new(TestClock::default());
    let anonymous = builder(&net).token_cache(cache.clone()).build().unwrap();
    let ahab = builder(&net)
        .token_cache(cache)
        .credentials(basic())
        .build()
        .unwrap();
    for (client, name) in [
        (&anonymous, "r.example.com/app:v1"),
        (&anonymous, "r.example.com/other:v1"),
        (&anonymous, "s.example.com/app:v1"),
        (&ahab, "r.example.com/app:v1"),
    ] {
        let reference = reference(name);
        let repository = client.repository(&reference).await.unwrap();
        repository.manifest(&reference.target()).await.unwrap();
    }
    let shown: Vec<_> = net
        .seen()
        .iter()
        .filter(|seen| !seen.uri.starts_with(AUTH))
        .filter_map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(shown, ["Bearer t1", "Bearer t2", "Bearer t3", "Bearer t4"]);
}

// RT9: a caller that goes away in the middle of a token request lets the next one in.
#[tokio::test]
async fn rt9_a_dropped_token_request_leaves_no_stuck_lock() {
    let held = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&held);
    let net = Net::over(from_fn(move |request| {
        let gate = Arc::clone(&gate);
        async move {
            if request.uri().host() == Some("auth.example.com") {
                gate.acquire().await.unwrap().forget();
                return Ok(reply(200, &[], r#"{"token":"t"}"#));
            }
            Ok(match request.headers().get("authorization") {
                None => unauthorized(CHALLENGE),
                Some(_) => reply(200, &[], MANIFEST),
            })
        }
    }));
    let app = app(builder(&net).build().unwrap()).await;
    let v1: TagOrDigest = "v1".parse().unwrap();
    assert!(crate::support::poll_once(app.manifest(&v1)).is_pending());
    assert_eq!(net.count(AUTH), 1);
    held.add_permits(1);
    app.manifest(&v1).await.unwrap();
    assert_eq!(net.count(AUTH), 2);
}
