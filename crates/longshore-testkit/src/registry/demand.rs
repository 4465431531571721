//! What a registry demands before it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use longshore_proto::Refusal;
use longshore_proto::error_code::{ErrorBody, ErrorCode};

use crate::RecordedRequest;
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

    pub(super) fn revoke(&self) {
        if let Self::Bearer { bearer, .. } = self {
            bearer
                .oldest
                .store(bearer.issuer.issued(), Ordering::SeqCst);
        }
    }

    /// Checks whether `request` is authorized for repository `name`.
    pub(super) fn check(
        &self,
        request: &RecordedRequest,
        name: Option<&str>,
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
                let action = action(&request.method);
                bearer.check(sent, name, action).map_err(|error| {
                    let challenge = bearer.challenge(name, action, error);
                    unauthorized(challenges.as_deref(), challenge)
                })
            }
        }
    }
}

impl Bearer {
    /// `Err` holds the `error` of RFC 6750 §3.1; a request without credentials has none.
    fn check(
        &self,
        sent: Option<&str>,
        name: Option<&str>,
        action: &str,
    ) -> Result<(), Option<&'static str>> {
        let token = sent
            .ok_or(None)?
            .strip_prefix("Bearer ")
            .ok_or(Some("invalid_request"))?;
        let claims = self.issuer.check(token).ok_or(Some("invalid_token"))?;
        let current = claims
            .id
            .parse::<u64>()
            .is_ok_and(|id| id >= self.oldest.load(Ordering::SeqCst));
        if !current || claims.audience != self.service {
            return Err(Some("invalid_token"));
        }
        match name {
            Some(name) if !claims.allow(name, action) => Err(Some("insufficient_scope")),
            _ => Ok(()),
        }
    }

    /// *Token Authentication "Example: 401 response"*.
    fn challenge(&self, name: Option<&str>, action: &str, error: Option<&str>) -> String {
        let mut challenge = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            self.realm, self.service
        );
        if let Some(name) = name {
            challenge += &format!(",scope=\"repository:{name}:{action}\"");
        }
        if let Some(error) = error {
            challenge += &format!(",error=\"{error}\"");
        }
        challenge
    }
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    }
}

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
