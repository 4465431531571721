//! What a registry demands before it answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{Endpoint, UploadStep};
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use super::quirk::Quirks;
use crate::RecordedRequest;
use crate::requests::unpoisoned;
use crate::token::{Issuer, TokenServer};

/// Who may ask, and how a registry says so.
#[derive(Debug)]
pub(super) enum Demand {
    Basic {
        expected: String,
        challenges: Option<Vec<String>>,
    },
    Bearer {
        bearer: Bearer,
        challenges: Option<Vec<String>>,
    },
    Nothing,
}

#[derive(Debug)]
pub(super) struct Bearer {
    realm: String,
    service: String,
    issuer: Arc<Issuer>,
    /// Tokens with a lower number are refused.
    oldest: AtomicU64,
    /// Number of requests that each token was used for; the maximum is `uses`.
    spent: Mutex<BTreeMap<String, u64>>,
    uses: u64,
    expired: Option<StatusCode>,
}

impl Demand {
    pub(super) fn basic(user: &str, password: &str) -> Self {
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Self::Basic {
            expected,
            challenges: None,
        }
    }

    pub(super) fn bearer(tokens: &TokenServer) -> Self {
        let bearer = Bearer {
            realm: tokens.realm(),
            service: tokens.service().to_owned(),
            issuer: Arc::clone(tokens.issuer()),
            oldest: AtomicU64::new(0),
            spent: Mutex::default(),
            uses: u64::MAX,
            expired: None,
        };
        Self::Bearer {
            bearer,
            challenges: None,
        }
    }

    pub(super) fn with_challenges(self, challenges: Option<Vec<String>>) -> Self {
        match self {
            Self::Basic { expected, .. } => Self::Basic {
                expected,
                challenges,
            },
            Self::Bearer { bearer, .. } => Self::Bearer { bearer, challenges },
            Self::Nothing => Self::Nothing,
        }
    }

    /// Limits the number of requests for each token, and sets the status for later ones.
    pub(super) fn with_quirks(mut self, quirks: &Quirks) -> Self {
        if let Self::Bearer { bearer, .. } = &mut self {
            bearer.uses = quirks.token_uses.unwrap_or(u64::MAX);
            bearer.expired = quirks.expired;
        }
        self
    }

    /// Counts a request that was authorized.
    pub(super) fn spend(&self, request: &RecordedRequest) {
        let Self::Bearer { bearer, .. } = self else {
            return;
        };
        let sent = request.header(AUTHORIZATION.as_str());
        let token = sent.and_then(|sent| sent.strip_prefix("Bearer "));
        if let Some(claims) = token.and_then(|token| bearer.issuer.check(token)) {
            *unpoisoned(&bearer.spent).entry(claims.id).or_default() += 1;
        }
    }

    pub(super) fn revoke(&self) {
        if let Self::Bearer { bearer, .. } = self {
            bearer
                .oldest
                .store(bearer.issuer.issued(), Ordering::SeqCst);
        }
    }

    /// Checks whether `request`, which is for this endpoint, is authorized.
    pub(super) fn check(
        &self,
        request: &RecordedRequest,
        endpoint: Option<&Endpoint>,
    ) -> Result<(), Refusal> {
        let sent = request.header(AUTHORIZATION.as_str());
        match self {
            Self::Nothing => Ok(()),
            Self::Basic { expected, .. } if sent == Some(expected) => Ok(()),
            Self::Basic { challenges, .. } => {
                let challenge = "Basic realm=\"testkit\"".to_owned();
                Err(unauthorized(challenges.as_deref(), challenge))
            }
            Self::Bearer { bearer, challenges } => {
                let needs = needs(&request.method, endpoint);
                bearer.check(sent, &needs).map_err(|error| {
                    if let (Some("invalid_token"), Some(status)) = (error, bearer.expired) {
                        let body = ErrorBody::one(ErrorCode::Denied, EXPIRED);
                        return Refusal::new(status, body);
                    }
                    let challenge = bearer.challenge(&needs, error);
                    unauthorized(challenges.as_deref(), challenge)
                })
            }
        }
    }
}

impl Bearer {
    /// `Err` holds the `error` of RFC 6750 §3.1; a request without credentials has none.
    fn check(&self, sent: Option<&str>, needs: &[Need<'_>]) -> Result<(), Option<&'static str>> {
        let token = sent
            .ok_or(None)?
            .strip_prefix("Bearer ")
            .ok_or(Some("invalid_request"))?;
        let claims = self.issuer.check(token).ok_or(Some("invalid_token"))?;
        let current = claims
            .id
            .parse::<u64>()
            .is_ok_and(|id| id >= self.oldest.load(Ordering::SeqCst));
        let spent = unpoisoned(&self.spent).get(&claims.id).copied();
        let is_spent = spent.unwrap_or_default() >= self.uses;
        if !current || is_spent || claims.audience != self.service {
            return Err(Some("invalid_token"));
        }
        if needs
            .iter()
            .all(|(name, action)| claims.allow(name, action))
        {
            Ok(())
        } else {
            Err(Some("insufficient_scope"))
        }
    }

    /// *Token Authentication "Example: 401 response"*.
    fn challenge(&self, needs: &[Need<'_>], error: Option<&str>) -> String {
        let mut challenge = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            self.realm, self.service
        );
        let scopes: Vec<_> = needs
            .iter()
            .map(|(name, action)| format!("repository:{name}:{action}"))
            .collect();
        if !scopes.is_empty() {
            challenge += &format!(",scope=\"{}\"", scopes.join(" "));
        }
        if let Some(error) = error {
            challenge += &format!(",error=\"{error}\"");
        }
        challenge
    }
}

/// A repository, and the action on it.
type Need<'a> = (&'a str, &'static str);

/// The access that a request needs. A mount also reads the repository that has the blob.
fn needs<'a>(method: &Method, endpoint: Option<&'a Endpoint>) -> Vec<Need<'a>> {
    let name = endpoint.and_then(Endpoint::name);
    let mut needs: Vec<_> = name
        .map(|name| (name.as_str(), action(method)))
        .into_iter()
        .collect();
    if let Some(Endpoint::Upload(upload)) = endpoint
        && let UploadStep::Mount {
            from: Some(from), ..
        } = &upload.step
    {
        needs.push((from.as_str(), "pull"));
    }
    needs
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    }
}

/// The message of Amazon ECR.
const EXPIRED: &str = "Your authorization token has expired. Reauthenticate and try again.";

fn unauthorized(instead: Option<&[String]>, challenge: String) -> Refusal {
    let body = ErrorBody::one(ErrorCode::Unauthorized, "authentication required");
    let challenges = instead.map_or_else(|| vec![challenge], <[String]>::to_vec);
    challenges
        .iter()
        .filter_map(|value| HeaderValue::from_str(value).ok())
        .fold(
            Refusal::new(StatusCode::UNAUTHORIZED, body),
            Refusal::with_challenge,
        )
}
