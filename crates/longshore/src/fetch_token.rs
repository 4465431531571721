//! One token, for those who want nothing else of a client.

use std::fmt;
use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Response, StatusCode, response};
use longshore_auth::{
    AuthCall, AuthError, Authenticator, Credential, CredentialError, Issued, LIFETIME_FLOOR,
    Prepare, RegistrySettings, ScopeSet, Token,
};
use longshore_origin::{Hop, Origin, Peer};
use longshore_proto::Host;
use longshore_proto::call::CallError;
use longshore_proto::endpoint::Endpoint;
use longshore_proto::retry::RetryPolicy;
use longshore_transport::{Clock, DynTransport, TlsIdentity, Transport};

use crate::builder::random;
use crate::error::{Cause, Error};
use crate::exchange::Exchanger;
use crate::operation::Operation;
use crate::send::Sender;
use crate::suffixes::Suffixes;

/// Gets the token that a challenge asks for, from the token endpoint it names.
///
/// For programs that send their own requests to a registry and want no more than the answer to a
/// 401. It keeps to all the rules the client keeps to, for it is the same code: the endpoint must
/// be one that the registry may name, and with a `credential` one that may see it (RE1–RE4);
/// nothing secret goes over plain http that is not meant to (CR4); no more is asked for than is
/// needed (CR8); a refusal is final, and there are at most two token requests (CR7), each repeated
/// where the endpoint cannot answer, and each over after 30 s.
///
/// A [`Credential::Token`] is given back as it is, with the least of lifetimes: it is what the
/// registry would be shown. Nothing is remembered from one call to the next; a
/// [`TokenCache`](crate::TokenCache) can be had beside. A transport is used up; that of a client
/// is shared by a clone of the [`DynTransport`] both are given.
///
/// ```
/// use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
/// use longshore::auth::ScopeSet;
/// use longshore::transport::{Body, Capabilities, Transport as _, from_fn};
/// use longshore::hyper::TokioClock;
/// use longshore::{Credential, TokenRequest, fetch_token};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What a request was refused with, and what was wanted.
/// let mut refusal = HeaderMap::new();
/// let challenge = r#"Bearer realm="https://auth.example.com/token",service="registry""#;
/// refusal.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
/// let registry = "https://registry.example.com".parse()?;
/// let request = TokenRequest::new(registry, &refusal, ScopeSet::pull("library/app"));
///
/// // Any transport will do; this one is a token endpoint itself, and connects to nothing.
/// let transport = from_fn(|request: http::Request<Body>| async move {
///     assert_eq!(request.uri().host(), Some("auth.example.com"));
///     Ok(http::Response::new(Body::from(r#"{"token":"t","expires_in":300}"#)))
/// })
/// .declaring(Capabilities::all());
/// let credential = Credential::basic("ahab", "white-whale".to_owned().into())?;
/// let issued = fetch_token(transport, TokioClock::new(), &request, Some(credential)).await?;
/// assert_eq!(issued.token.expose(), "t");
/// assert_eq!(issued.lifetime.as_secs(), 300);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error`], whose [`kind`](Error::kind) tells refused credentials, a refused realm
/// ([`refused_realm`](Error::refused_realm) would have to be allowed) and failure apart.
/// [`AuthError::NoToken`] where the registry asks for something else than a token.
pub async fn fetch_token(
    transport: impl Transport,
    clock: impl Clock,
    request: &TokenRequest,
    credential: Option<Credential>,
) -> Result<Issued, Error> {
    let failed = |cause| {
        let operation = Operation::Token { repository: None };
        Error::new(operation, request.registry.authority(), cause)
    };
    let ping = Endpoint::Ping.write(&Host::new(request.registry.clone()));
    let hop = Hop::first(request.registry.clone(), &ping.path_and_query)
        .map_err(|error| failed(Cause::Call(CallError::Hop(error), None)))?;
    let sender = Sender::new(DynTransport::new(transport), Arc::new(clock));
    let exchanger = Exchanger {
        sender: &sender,
        jitter: &random,
        attempts: request.attempts,
        registry: &request.registry,
        tls: &request.tls,
    };
    let issued = request.drive(&hop, credential, &exchanger).await;
    issued.map_err(|error| failed(Cause::Auth(error, None)))
}

/// A refusal that asks for a token, and what the token is to be for; see [`fetch_token`].
#[derive(Clone)]
pub struct TokenRequest {
    registry: Origin,
    refusal: response::Parts,
    peer: Peer,
    scope: ScopeSet,
    settings: RegistrySettings,
    tls: TlsIdentity,
    attempts: u32,
    offline: bool,
}

impl TokenRequest {
    /// A token for this scope at this registry, which has refused a request with these headers.
    ///
    /// Of the headers only `WWW-Authenticate` counts, every field of it. The registry is the one
    /// the user named, never one that a redirect led to (CR5).
    #[must_use]
    pub fn new(registry: Origin, refusal: &HeaderMap, scope: ScopeSet) -> Self {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::UNAUTHORIZED;
        for challenge in refusal.get_all(WWW_AUTHENTICATE) {
            head.headers.append(WWW_AUTHENTICATE, challenge.clone());
        }
        Self {
            registry,
            refusal: head,
            peer: Peer::default(),
            scope,
            settings: RegistrySettings::default(),
            tls: TlsIdentity::default(),
            attempts: RetryPolicy::default().attempts,
            offline: false,
        }
    }

    /// Who the refusal came from: the fact in the extensions of a transport's response. Without
    /// it a registry counts as public unless its very name says otherwise, so that it cannot name
    /// a token endpoint in a private network (RE3).
    #[must_use]
    pub fn peer(self, peer: Peer) -> Self {
        Self { peer, ..self }
    }

    /// What the user has settled for the registry: other realms and addresses that are allowed,
    /// and whether it is meant to be plain http.
    #[must_use]
    pub fn settings(self, settings: RegistrySettings) -> Self {
        Self { settings, ..self }
    }

    /// Which of the transport's TLS settings to use for a token endpoint on the registry's own
    /// origin.
    #[must_use]
    pub fn tls(self, tls: TlsIdentity) -> Self {
        Self { tls, ..self }
    }

    /// Sends a request at most this often where the token endpoint cannot answer; 1 repeats
    /// nothing. The default is 5 (RT1).
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        let attempts = RetryPolicy::with_attempts(attempts).attempts;
        Self { attempts, ..self }
    }

    /// Asks for a refresh token, too, which is then in [`Issued::refresh_token`] if the endpoint
    /// issues such. As [`Credential::IdentityToken`] it stands for the credential.
    #[must_use]
    pub fn offline(self) -> Self {
        Self {
            offline: true,
            ..self
        }
    }

    /// The part of a client's loop that comes after a refusal, until there is a token.
    async fn drive(
        &self,
        hop: &Hop,
        credential: Option<Credential>,
        exchanger: &Exchanger<'_>,
    ) -> Result<Issued, AuthError> {
        let mut auth = Authenticator::new().with_public_suffixes(Arc::new(Suffixes));
        auth.configure(self.registry.clone(), self.settings.clone());
        let mut call = AuthCall::new();
        if self.offline {
            call = call.offline();
        }
        call.provide(&self.registry, credential.clone());
        auth.refused(&mut call, hop, &self.refusal, self.peer)?;
        loop {
            let now = exchanger.sender.clock().now();
            let Prepare::Fetch(key) = auth.prepare(&mut call, hop, &self.scope, now)? else {
                // Now a request would go out with what there is.
                return self.given(credential);
            };
            let Some(exchange) = auth.begin(&mut call, &key, now)? else {
                continue;
            };
            let issued = exchanger.run(exchange).await;
            let token = issued.clone().ok();
            auth.finish(&mut call, key, issued, exchanger.sender.clock().now())?;
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    /// The token the user has, where no other is needed.
    fn given(&self, credential: Option<Credential>) -> Result<Issued, AuthError> {
        let registry = self.registry.clone();
        let Some(Credential::Token(token)) = credential else {
            return Err(AuthError::NoToken { registry });
        };
        let token = Token::try_from(token).map_err(|_| AuthError::Credential {
            registry,
            source: CredentialError::Token,
        })?;
        Ok(Issued::new(token, LIFETIME_FLOOR))
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("registry", &self.registry)
            .field("scope", &self.scope)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
