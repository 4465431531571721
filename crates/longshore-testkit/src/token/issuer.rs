//! JSON Web Tokens as registries check them: RFC 7519 over ES256, the certificate in `x5c`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::certificate::Identity;

/// A signer of tokens: a name, a key, and a certificate for it.
pub struct Issuer {
    name: String,
    identity: Identity,
    key: EcdsaKeyPair,
    random: SystemRandom,
    issued: AtomicU64,
}

impl Issuer {
    /// An issuer with a new key.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to make a key from.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let identity = Identity::self_signed(&["issuer.invalid"]);
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &identity.key_der(),
            &random,
        );
        let Ok(key) = key else {
            panic!("a key just made is not a P-256 key")
        };
        Self {
            name: name.to_owned(),
            identity,
            key,
            random,
            issued: AtomicU64::new(0),
        }
    }

    /// The name in `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many tokens it has issued; the next one has this number as its `jti`.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }

    /// The certificate a registry must trust: its `rootcertbundle`.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.identity.certificate_pem()
    }

    /// A token for `subject` (empty: anonymous), valid at `audience` from now for `lifetime`.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to sign with.
    #[must_use]
    pub fn issue(
        &self,
        subject: &str,
        audience: &str,
        lifetime: Duration,
        access: Vec<GrantedAccess>,
    ) -> String {
        let now = unix_time();
        self.sign(&Claims {
            issuer: self.name.clone(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            expires: now + lifetime.as_secs(),
            not_before: now,
            issued_at: now,
            id: self.issued.fetch_add(1, Ordering::SeqCst).to_string(),
            access,
        })
    }

    /// A token that says exactly this.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to sign with.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let certificate = STANDARD.encode(self.identity.certificate_der());
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [certificate]});
        let claims = json!(claims);
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let Ok(signature) = self.key.sign(&self.random, signed.as_bytes()) else {
            panic!("the system has no randomness to sign with")
        };
        format!("{signed}.{}", encode(signature))
    }

    /// What a token says, when this issuer signed it and it is valid now.
    #[must_use]
    pub fn check(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key())
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?)
            .ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.issuer == self.name && unix_time() < claims.expires).then_some(claims)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The claim set: *Token Authentication Implementation "Token Scope"* over RFC 7519 §4.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// Who signed.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// Who may use it; empty when anybody.
    #[serde(rename = "sub")]
    pub subject: String,
    /// The service it is for.
    #[serde(rename = "aud")]
    pub audience: String,
    /// When it ends, in seconds of Unix time.
    #[serde(rename = "exp")]
    pub expires: u64,
    /// When it begins, in seconds of Unix time.
    #[serde(rename = "nbf")]
    pub not_before: u64,
    /// When it was made, in seconds of Unix time.
    #[serde(rename = "iat")]
    pub issued_at: u64,
    /// Unique among the tokens of the issuer.
    #[serde(rename = "jti")]
    pub id: String,
    /// What it allows.
    pub access: Vec<GrantedAccess>,
}

impl Claims {
    /// Whether `action` on the repository `name` is allowed.
    #[must_use]
    pub fn allow(&self, name: &str, action: &str) -> bool {
        self.access.iter().any(|access| {
            access.kind == "repository"
                && access.name == name
                && access
                    .actions
                    .iter()
                    .any(|allowed| allowed == action || allowed == "*")
        })
    }
}

/// Actions on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GrantedAccess {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the repository.
    pub name: String,
    /// `pull`, `push`, `delete`, `*`.
    pub actions: Vec<String>,
}

impl GrantedAccess {
    /// Reads one scope: `type ":" name ":" action *( "," action )`; the name may hold a colon.
    #[must_use]
    pub fn parse(scope: &str) -> Option<Self> {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = actions.split(',').filter(|action| !action.is_empty());
        Some(Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.map(str::to_owned).collect(),
        })
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
