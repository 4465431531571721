//! The authenticator, against registries that say anything.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use longshore_auth::{
    AuthCall, Authenticator, Credential, PublicSuffixes, REFUSED_TOKENS_LIMIT, RegistrySettings,
    ScopeSet, TOKEN_REDIRECTS_LIMIT, TOKEN_REQUESTS_LIMIT, TokenTable,
};
use longshore_origin::{Hop, Origin, Secret};
use proptest::prelude::*;

use crate::world::{DROPPED, Sent, Server, World};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// CR1, CR3–CR7, RD1, RE4: whatever a registry answers, every call ends within its budget,
    /// and no secret goes to anybody but its owner.
    #[test]
    fn no_script_exceeds_the_budget_or_gets_a_secret_that_is_not_its_own(
        home in prop::sample::select(HOMES),
        credential in credential(),
        cached: bool,
        calls in prop::collection::vec((answers(), 0_u64..400, any::<bool>()), 1..4),
    ) {
        let home: Origin = home.parse().unwrap();
        let mut auth = Authenticator::new().with_public_suffixes(Arc::new(LastTwoLabels));
        let allowed: Origin = ALLOWED.parse().unwrap();
        let settings = RegistrySettings::new().allow_realm(allowed);
        auth.configure(home.clone(), settings);
        if cached {
            auth = auth.with_tokens(TokenTable::new(3));
        }
        let mut world = World::new(auth, credential, VecDeque::new());
        let mut tokens = 0;
        for (answers, seconds, token_first) in calls {
            let first = world.sent.len();
            world.now += Duration::from_secs(seconds);
            world.server = answers
                .into_iter()
                .map(|answer| {
                    tokens += 1;
                    answer.replace("TOKEN", &format!("t{tokens}."))
                })
                .collect();
            let hop = Hop::first(home.clone(), "/v2/").unwrap();
            let mut call = AuthCall::new();
            if token_first {
                call.token_first();
            }
            let _ = world.drive(&mut call, hop);
            check_budget(&world.sent[first..])?;
        }
        prop_assert!(world.lookups.iter().all(|registry| *registry == home));
        check_secrets(&world.sent, &home)?;
    }

    /// With a token table there are fewer requests, and the same results.
    #[test]
    fn results_are_the_same_with_and_without_a_cache(
        credential in prop::sample::select(&["", "good", "bad"][..]),
        basic: bool,
        events in prop::collection::vec(event(), 1..12),
    ) {
        let mut ends = Vec::new();
        let mut requests = Vec::new();
        for capacity in [None, Some(0), Some(1), Some(100)] {
            let mut auth = Authenticator::new();
            if let Some(capacity) = capacity {
                auth = auth.with_tokens(TokenTable::new(capacity));
            }
            let registry = Registry { basic, ..Registry::default() };
            let mut world = World::new(auth, user(credential), registry);
            let mut results = Vec::new();
            for (repository, seconds, revoke, mood) in &events {
                world.now += Duration::from_secs(*seconds);
                world.server.generation += u64::from(*revoke);
                world.server.mood = *mood;
                world.need = ScopeSet::pull(repository);
                let origin: Origin = "https://r.example".parse().unwrap();
                let hop = Hop::first(origin, &format!("/{repository}")).unwrap();
                results.push(world.call(&hop).map_err(|e| e.to_string()));
            }
            ends.push(results);
            requests.push(world.sent.len());
        }
        for other in &ends[1..] {
            prop_assert_eq!(&ends[0], other);
        }
        // What was shown unasked and refused costs a request more.
        let helpful = events.iter().all(|(.., mood)| matches!(mood, Mood::Helpful));
        if helpful && ends[0].iter().all(Result::is_ok) {
            prop_assert!(requests[3] <= requests[0], "{:?}", requests);
        }
    }
}

fn check_budget(sent: &[Sent]) -> Result<(), TestCaseError> {
    let (token, plain): (Vec<_>, Vec<_>) = sent.iter().partition(|s| s.token_for.is_some());
    let each = 1 + usize::from(TOKEN_REDIRECTS_LIMIT);
    prop_assert!(
        token.len() <= usize::from(TOKEN_REQUESTS_LIMIT) * each,
        "{:?}",
        token
    );
    // First, five redirects with a refusal at each, refused tokens, a password, and one unasked.
    prop_assert!(
        plain.len() <= 2 * (1 + 5) + REFUSED_TOKENS_LIMIT + 2,
        "{:?}",
        plain
    );
    // A password is shown to the registry, and to a token endpoint for each token, once.
    let basics = plain.iter().filter(|s| is_basic(s)).count();
    // Redirects within the registry keep it.
    prop_assert!(basics <= 1 + 5);
    Ok(())
}

fn check_secrets(sent: &[Sent], home: &Origin) -> Result<(), TestCaseError> {
    // Which origin a token was issued for, and whether credentials were shown for it.
    let mut issued: HashMap<&str, (&Origin, bool)> = HashMap::new();
    for request in sent {
        let authorization = request.authorization.as_deref().unwrap_or_default();
        let shows = |secret: &str| authorization.contains(secret) || request.body.contains(secret);
        let has_credentials = SECRETS.iter().any(|s| shows(s));
        let encrypted =
            request.to.to_string().starts_with("https:") || request.to.is_loopback_name();
        if !authorization.is_empty() || !request.body.is_empty() {
            // CR4
            prop_assert!(encrypted, "{} in the clear", request);
        }
        if let Some(registry) = &request.token_for {
            if has_credentials {
                prop_assert_eq!(registry, home);
                prop_assert!(may_have_credentials(&request.to, home), "{}", request);
                prop_assert!(!shows(GIVEN), "{}", request);
            }
            if let Some(token) = &request.issued {
                issued.insert(token, (registry, has_credentials));
            }
            continue;
        }
        if has_credentials {
            prop_assert!(request.at_home && request.to == *home, "{}", request);
            prop_assert!(!shows(IDENTITY) && !shows(IDENTITY_BASIC), "{}", request);
        } else if let Some(token) = authorization.strip_prefix("Bearer ") {
            let (registry, with_credentials) = issued[token];
            prop_assert_eq!(registry, &request.to);
            prop_assert!(request.at_home || !with_credentials, "{}", request);
        } else {
            prop_assert_eq!(authorization, "");
        }
    }
    Ok(())
}

/// RE4 in other words.
fn may_have_credentials(to: &Origin, home: &Origin) -> bool {
    let hub = ("https://registry-1.docker.io", "https://auth.docker.io");
    let domain = |o: &Origin| {
        o.host()
            .rsplitn(3, '.')
            .take(2)
            .collect::<Vec<_>>()
            .join(".")
    };
    let to_text = to.to_string();
    to == home
        || to_text == ALLOWED
        || (home.to_string(), to_text.as_str()) == (hub.0.to_owned(), hub.1)
        || (to_text.starts_with("https:")
            && to.address().is_none()
            && (to.host() == home.host() || domain(to) == domain(home)))
}

fn is_basic(sent: &Sent) -> bool {
    sent.authorization
        .as_deref()
        .is_some_and(|a| a.starts_with("Basic "))
}

/// Base64 of `me:hunter2`.
const PASSWORD: &str = "bWU6aHVudGVyMg==";
const IDENTITY: &str = "identity";
/// Base64 of `<token>:identity`.
const IDENTITY_BASIC: &str = "PHRva2VuPjppZGVudGl0eQ==";
const SECRETS: [&str; 4] = [PASSWORD, IDENTITY, IDENTITY_BASIC, GIVEN];
const GIVEN: &str = "given";
const ALLOWED: &str = "https://allowed.example.net";

const HOMES: &[&str] = &[
    "https://r.example.com",
    "https://r.example.com:5000",
    "https://registry-1.docker.io",
    "https://192.0.2.1",
    "http://r.example.com",
    "http://localhost:5000",
];

const PLACES: &[&str] = &[
    "https://r.example.com",
    "https://r.example.com:5000",
    "http://r.example.com",
    "https://auth.example.com",
    "https://registry-1.docker.io",
    "https://auth.docker.io",
    "https://evil.example.net",
    "https://r.example.com.evil.example.net",
    ALLOWED,
    "https://192.0.2.1",
    "http://localhost:5000",
    "http://localhost:5001",
    "",
];

fn credential() -> impl Strategy<Value = Option<Credential>> {
    let secret = |text: &str| Secret::new(text.to_owned());
    prop::sample::select(vec![
        None,
        Some(Credential::basic("me", secret("hunter2")).unwrap()),
        Some(Credential::IdentityToken(secret(IDENTITY))),
        Some(Credential::Token(secret(GIVEN))),
    ])
}

fn answers() -> impl Strategy<Value = Vec<String>> {
    let place = || prop::sample::select(PLACES);
    let error =
        prop::sample::select(&["", ",error=\"invalid_token\"", ",error=insufficient_scope"][..]);
    let scope =
        prop::sample::select(&["", ",scope=\"aws\"", ",scope=\"repository:app:pull,push\""][..]);
    let bearer = (place(), scope, error).prop_map(|(place, scope, error)| {
        format!("401 Bearer realm=\"{place}/token\",service=\"s\"{scope}{error}")
    });
    let answer = prop_oneof![
        6 => bearer.clone(),
        2 => bearer.prop_map(|bearer| format!("{bearer}, Basic realm=\"x\"")),
        2 => Just("401 Basic realm=\"x\"".to_owned()),
        1 => Just("401 Negotiate".to_owned()),
        1 => Just("401".to_owned()),
        5 => place().prop_map(|place| format!("307 {place}/next")),
        6 => Just("200 {\"token\":\"TOKEN\",\"expires_in\":100}".to_owned()),
        1 => Just("403".to_owned()),
        1 => prop::sample::select(&["404", "405", "503", DROPPED][..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(answer, 0..14)
}

struct LastTwoLabels;

impl PublicSuffixes for LastTwoLabels {
    fn registrable_domain<'a>(&self, host: &'a str) -> Option<&'a str> {
        let (rest, _) = host.rsplit_once('.')?;
        host.get(rest.rfind('.').map_or(0, |at| at + 1)..)
    }
}

impl Server for Registry {
    fn answer(&mut self, request: &Sent) -> Option<String> {
        Some(self.decide(request))
    }
}

/// What a registry sends with a 401.
#[derive(Clone, Copy, Debug, Default)]
enum Mood {
    #[default]
    Helpful,
    /// Nothing.
    Silent,
    /// The way to somebody else.
    Wrong,
}

fn event() -> impl Strategy<Value = (&'static str, u64, bool, Mood)> {
    let mood =
        prop_oneof![4 => Just(Mood::Helpful), 1 => Just(Mood::Silent), 1 => Just(Mood::Wrong)];
    (repository(), 0_u64..200, any::<bool>(), mood)
}

/// A registry that knows one user, three repositories, and takes its tokens back now and then.
#[derive(Default)]
struct Registry {
    basic: bool,
    mood: Mood,
    generation: u64,
    /// Of each token: the generation it was issued in, whether to the user, and for what.
    tokens: HashMap<String, (u64, bool, String)>,
}

impl Registry {
    fn decide(&mut self, request: &Sent) -> String {
        let answer = self.say(request);
        match self.mood {
            Mood::Silent if answer.starts_with("401 ") => "401".to_owned(),
            Mood::Wrong => answer.replace("https://r.example/token", "https://evil.example.net/"),
            Mood::Helpful | Mood::Silent => answer,
        }
    }

    fn say(&mut self, request: &Sent) -> String {
        let good = "Basic bWU6Z29vZA==";
        let authorization = request.authorization.as_deref();
        if request.token_for.is_some() {
            if authorization.is_some_and(|a| a != good) {
                return "401".to_owned();
            }
            let token = format!("t{}", self.tokens.len());
            let scope = request
                .path
                .split("scope=")
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            self.tokens.insert(
                token.clone(),
                (self.generation, authorization.is_some(), scope),
            );
            return format!("200 {{\"token\":\"{token}\",\"expires_in\":300}}");
        }
        let repository = request.path.trim_start_matches('/');
        // Anybody may come in here, but not somebody with a wrong password.
        if repository == "open" && authorization.is_none_or(|a| a == good) {
            return "200".to_owned();
        }
        if self.basic {
            let known = authorization == Some(good);
            return if known {
                "200"
            } else {
                "401 Basic realm=\"r\""
            }
            .to_owned();
        }
        let challenge = format!(
            "401 Bearer realm=\"https://r.example/token\",service=\"r\",\
             scope=\"repository:{repository}:pull\""
        );
        let Some(token) = authorization.and_then(|a| a.strip_prefix("Bearer ")) else {
            return challenge;
        };
        match self.tokens.get(token) {
            Some((generation, _, _)) if *generation < self.generation => {
                format!("{challenge},error=\"invalid_token\"")
            }
            Some((_, by_user, scope)) if scope.contains(&format!("%3A{repository}%3A")) => {
                if *by_user || repository == "public" {
                    "200".to_owned()
                } else {
                    format!("{challenge},error=\"insufficient_scope\"")
                }
            }
            _ => format!("{challenge},error=\"insufficient_scope\""),
        }
    }
}

fn repository() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["open", "public", "private"][..])
}

fn user(name: &str) -> Option<Credential> {
    let password = Secret::new(name.to_owned());
    (!name.is_empty()).then(|| Credential::basic("me", password).expect("no colon"))
}
