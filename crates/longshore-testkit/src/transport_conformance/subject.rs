//! The transport under test, and how a case gets one.

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use longshore_transport::{
    Body, DynTransport, Sensitivity, TlsIdentity, Transport, TransportError,
};
use tokio::sync::oneshot;

use super::finding::{ConformanceError, Finding, Outcome};

/// How to make the transport under test.
pub struct Subject {
    make: Box<dyn Fn(&Setup) -> DynTransport + Send + Sync>,
    patience: Duration,
}

/// The TLS settings that a case asks for.
///
/// A transport trusts these roots besides its own. It must not use a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setup {
    /// Root certificates in PEM that requests without an identity trust; none if empty.
    pub roots: String,
    /// Named settings, each with the root certificates in PEM that it trusts. A transport that does
    /// not declare the capability TLS identity ignores them.
    pub identities: Vec<(TlsIdentity, String)>,
}

impl Subject {
    /// A transport that `make` makes for each case.
    pub fn new<T: Transport>(make: impl Fn(&Setup) -> T + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(move |setup| DynTransport::new(make(setup))),
            patience: PATIENCE,
        }
    }

    /// How long a case may take; 60 s by default. A case that passes takes less.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A new transport with its default settings.
    pub(super) fn transport(&self) -> DynTransport {
        self.transport_with(&Setup::default())
    }

    pub(super) fn transport_with(&self, setup: &Setup) -> DynTransport {
        (self.make)(setup)
    }

    /// Runs one case, at most for the subject's patience.
    pub(super) async fn run(
        &self,
        case: &'static str,
        test: impl Future<Output = Outcome>,
    ) -> Result<(), ConformanceError> {
        let (_running, ended) = mpsc::channel::<()>();
        let (ring, alarm) = oneshot::channel();
        let patience = self.patience;
        // A thread measures the time, because the transport may use any runtime.
        thread::spawn(move || {
            if ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = ring.send(());
            }
        });
        let outcome = tokio::select! {
            outcome = test => outcome,
            Ok(()) = alarm => Err(format!("no end within {} s", patience.as_secs_f32()).into()),
        };
        outcome.map_err(|found| ConformanceError::new(case, found))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A GET request without a secret.
pub(super) fn get(url: &str) -> Result<Request<Body>, Finding> {
    request("GET", url, Body::empty())
}

/// A request that says that it carries no secret.
pub(super) fn request(method: &str, url: &str, body: Body) -> Result<Request<Body>, Finding> {
    let mut request = Request::builder().method(method).uri(url).body(body)?;
    request.extensions_mut().insert(Sensitivity::Plain);
    Ok(request)
}

/// The whole body of a response.
pub(super) async fn read(response: Response<Body>) -> Result<Bytes, TransportError> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

/// Sends a request that must fail, and returns the error of its head or of its body.
pub(super) async fn failure(
    transport: &DynTransport,
    request: Request<Body>,
) -> Result<TransportError, Finding> {
    let status = match transport.send(request).await {
        Err(error) => return Ok(error),
        Ok(response) => {
            let status = response.status();
            if let Err(error) = read(response).await {
                return Ok(error);
            }
            status
        }
    };
    Err(format!("no error, but status {status}").into())
}

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(60);
