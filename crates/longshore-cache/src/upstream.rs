//! Upstream registries, from which a cache reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longshore::{BlobHead, Client, Error, ErrorKind, ManifestHead, Repository, VerifiedDocument};
use longshore_model::{Descriptor, Digest, RepositoryName, TagOrDigest};
use longshore_origin::Escaped;
use longshore_proto::RateLimit;
use longshore_transport::Clock;

pub use self::builder::{UpstreamBuildError, UpstreamBuilder};
pub use self::credentials::{CREDENTIAL_KEPT, REFUSAL_KEPT, REFUSALS_IN_A_ROW};
pub use self::error::{UpstreamError, UpstreamErrorKind};
pub use self::frames::UpstreamFrames;
pub use self::monitor::{
    UpstreamCall, UpstreamCallKind, UpstreamFailure, UpstreamHealth, UpstreamOutcome,
};
pub use self::quota::{ABUSE_PAUSE, ABUSE_PAUSE_LIMIT, revalidation_wait};

use self::credentials::Remembered;
use self::error::What;
use self::monitor::{Meter, Monitor, OnCall};
use crate::name::UpstreamName;

mod builder;
mod credentials;
mod error;
mod frames;
mod monitor;
mod quota;

/// An upstream registry, with its mirrors. Cheap to clone; clones share connections, tokens, limits
/// and remembered answers.
///
/// Manifests and blobs are read from the mirrors first, in their order, and then from the registry
/// itself. If no mirror has the content, the answer of the registry decides. Lists are always read
/// from the registry itself, because a mirror may be incomplete.
///
/// A credential that the upstream refused is not sent again until it changes
/// ([`REFUSALS_IN_A_ROW`]). When the upstream applies its limit against abuse, no request is sent
/// for some time ([`ABUSE_PAUSE`]). No request is sent to an upstream that is configured as
/// offline.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    name: UpstreamName,
    /// The mirrors, and the registry itself, which is the last.
    hosts: Vec<Host>,
    home: Host,
    clock: Arc<dyn Clock>,
    monitor: Arc<Monitor>,
    credentials: Remembered,
    offline: bool,
    on_call: Option<OnCall>,
}

/// The registry itself or a mirror.
#[derive(Clone, Debug)]
struct Host {
    client: Client,
    /// The name of the host in the settings of the client.
    registry: Arc<str>,
}

/// How many attempts a call makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patience {
    /// Up to three attempts at each host, with the waits of the client (RT1–RT3).
    #[default]
    Normal,
    /// One attempt at each host, for a caller that does not depend on the answer.
    OneAttempt,
}

impl Host {
    async fn repository(
        &self,
        name: &RepositoryName,
        patience: Patience,
    ) -> Result<Repository, Error> {
        let registry = &self.registry;
        match patience {
            Patience::Normal => self.client.repository_of(registry, name).await,
            Patience::OneAttempt => {
                let client = self.client.with_attempts(1);
                client.repository_of(registry, name).await
            }
        }
    }
}

impl Upstream {
    /// Starts to build an upstream whose API is at this URL: `https://host[:port][/path]`. See
    /// [`default_url`](Self::default_url).
    #[must_use]
    pub fn builder(name: UpstreamName, url: &str) -> UpstreamBuilder {
        UpstreamBuilder::new(name, url)
    }

    /// The URL of an upstream whose name is the name of its host. The API of Docker Hub,
    /// `docker.io`, is at `registry-1.docker.io`.
    ///
    /// ```
    /// use longshore_cache::Upstream;
    ///
    /// let url = |name: &str| name.parse().map(|name| Upstream::default_url(&name));
    /// assert_eq!(url("docker.io")?, "https://registry-1.docker.io");
    /// assert_eq!(url("quay.io")?, "https://quay.io");
    /// # Ok::<(), longshore_cache::UpstreamNameError>(())
    /// ```
    #[must_use]
    pub fn default_url(name: &UpstreamName) -> String {
        match name.as_str() {
            "docker.io" => "https://registry-1.docker.io".to_owned(),
            host => format!("https://{host}"),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &UpstreamName {
        &self.0.name
    }

    /// Whether the upstream is configured as offline: no request is sent.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.0.offline
    }

    /// The health of the upstream, from earlier calls; sends no request.
    #[must_use]
    pub fn health(&self) -> UpstreamHealth {
        let mut health = self.monitor().health(self.clock().now());
        health.credentials_refused = self.0.credentials.is_refused();
        health
    }

    /// The quota that the upstream last stated (RT8).
    #[must_use]
    pub fn quota(&self) -> Option<RateLimit> {
        self.monitor().quota().map(|quota| quota.limit)
    }

    /// How long to wait before the next revalidation of a manifest, so that the quota is not used
    /// up before its window ends ([`revalidation_wait`]).
    #[must_use]
    pub fn revalidation_wait(&self) -> Duration {
        let now = self.clock().now();
        self.monitor().quota().map_or(Duration::ZERO, |quota| {
            let age = now.saturating_sub(quota.seen);
            let last = self.monitor().last_revalidation();
            let since_last = last.map(|last| now.saturating_sub(last));
            revalidation_wait(&quota.limit, age, since_last)
        })
    }

    /// Looks the credentials up again, and allows refused credentials again.
    pub fn reload(&self) {
        self.0.credentials.reload();
    }

    /// Checks whether the upstream is a registry that can be used (distribution-spec v1.1.1
    /// "Determining Support").
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] says why it cannot be used.
    pub async fn ping(&self) -> Result<(), UpstreamError> {
        let kind = UpstreamCallKind::Ping;
        let ping = |host: Host| async move { host.client.ping(&host.registry).await.map(Some) };
        let home = std::slice::from_ref(&self.0.home);
        self.call(kind, What::Ping, home, ping).await.map(|_| ())
    }

    /// The head of a manifest at the upstream; `None` when the manifest does not exist.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when the upstream gives no answer about it.
    pub async fn manifest_head(
        &self,
        repository: &RepositoryName,
        target: &TagOrDigest,
        patience: Patience,
    ) -> Result<Option<ManifestHead>, UpstreamError> {
        if target.digest().is_none() {
            self.monitor().revalidates(self.clock().now());
        }
        let head = |host: Host| {
            let (repository, target) = (repository.clone(), target.clone());
            async move {
                let repository = host.repository(&repository, patience).await?;
                repository.manifest_head(&target).await
            }
        };
        let what = What::Manifest(repository.clone(), target.clone());
        let kind = UpstreamCallKind::ManifestHead;
        self.call(kind, what, &self.0.hosts, head).await
    }

    /// Pulls and verifies a manifest; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when the upstream gives no answer about it, or an answer that cannot be
    /// used.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        target: &TagOrDigest,
        patience: Patience,
    ) -> Result<Option<VerifiedDocument>, UpstreamError> {
        let pull = |host: Host| {
            let (repository, target) = (repository.clone(), target.clone());
            async move {
                let repository = host.repository(&repository, patience).await?;
                unless_absent(repository.document(&target).await)
            }
        };
        let what = What::Manifest(repository.clone(), target.clone());
        let length = |found: &VerifiedDocument| found.bytes.len();
        self.call_for_content(
            UpstreamCallKind::Manifest,
            what,
            &self.0.hosts,
            pull,
            length,
        )
        .await
    }

    /// The head of a blob at the upstream; `None` when the blob does not exist.
    ///
    /// For registries that refuse `HEAD`, it sends `GET` and does not read the body (DG2).
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when the upstream gives no answer about it.
    pub async fn blob_head(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Option<BlobHead>, UpstreamError> {
        let head = |host: Host| {
            let (repository, digest) = (repository.clone(), digest.clone());
            async move {
                let repository = host.repository(&repository, patience).await?;
                repository.blob_head(&digest).await
            }
        };
        let what = What::Blob(repository.clone(), digest.clone());
        self.call(UpstreamCallKind::BlobHead, what, &self.0.hosts, head)
            .await
    }

    /// Reads a blob from this position on, **not verified**. The request is sent when the frames
    /// are first polled.
    ///
    /// `size` is the size of the whole blob in bytes, by its descriptor.
    #[must_use]
    pub fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: Option<u64>,
        position: u64,
    ) -> UpstreamFrames {
        let blob = (repository.clone(), digest.clone());
        UpstreamFrames::new(self.clone(), blob, (size, None), position)
    }

    /// Reads only the part of a blob between these positions, both included, **not verified**.
    /// `size` is the size of the whole blob in bytes.
    #[must_use]
    pub fn blob_range(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
        first: u64,
        last: u64,
    ) -> UpstreamFrames {
        let blob = (repository.clone(), digest.clone());
        UpstreamFrames::new(self.clone(), blob, (Some(size), Some(last)), first)
    }

    /// The names of all tags, as sent; `None` when the repository does not exist.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when the upstream does not send the list, or the list is larger than
    /// [`COLLECTED_LIMIT_BYTES`](longshore::COLLECTED_LIMIT_BYTES).
    pub async fn tags(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Vec<String>>, UpstreamError> {
        let list = |host: Host| {
            let repository = repository.clone();
            async move {
                let repository = host.repository(&repository, Patience::Normal).await?;
                unless_absent(repository.tags(None, None).collect().await)
            }
        };
        let what = What::Tags(repository.clone());
        let home = std::slice::from_ref(&self.0.home);
        self.call(UpstreamCallKind::Tags, what, home, list).await
    }

    /// The manifests that refer to this one, from the referrers API or the fallback tag
    /// (distribution-spec v1.1.1 "Listing Referrers").
    ///
    /// # Errors
    ///
    /// As [`tags`](Self::tags).
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, UpstreamError> {
        let list = |host: Host| {
            let (repository, subject) = (repository.clone(), subject.clone());
            async move {
                let repository = host.repository(&repository, Patience::Normal).await?;
                unless_absent(repository.referrers(&subject, None).collect().await)
            }
        };
        let what = What::Referrers(repository.clone(), subject.clone());
        let home = std::slice::from_ref(&self.0.home);
        let found = self.call(UpstreamCallKind::Referrers, what, home, list);
        Ok(found.await?.unwrap_or_default())
    }

    /// Tries these hosts in order. If none of the others has the content, the answer of the last
    /// one decides.
    async fn call<T, F>(
        &self,
        kind: UpstreamCallKind,
        what: What,
        hosts: &[Host],
        ask: impl Fn(Host) -> F,
    ) -> Result<Option<T>, UpstreamError>
    where
        F: Future<Output = Result<Option<T>, Error>>,
    {
        self.call_for_content(kind, what, hosts, ask, |_| 0).await
    }

    /// As `call`; `length` returns the number of received content bytes, for the report.
    async fn call_for_content<T, F>(
        &self,
        kind: UpstreamCallKind,
        what: What,
        hosts: &[Host],
        ask: impl Fn(Host) -> F,
        length: impl Fn(&T) -> usize,
    ) -> Result<Option<T>, UpstreamError>
    where
        F: Future<Output = Result<Option<T>, Error>>,
    {
        self.check_open(&what)?;
        let mut meter = Meter::start(self.clone(), kind);
        let mut last = Ok(None);
        for host in hosts {
            last = ask(host.clone()).await;
            if let Ok(Some(found)) = last {
                self.accepted(&what);
                meter.on_bytes(u64::try_from(length(&found)).unwrap_or(u64::MAX));
                meter.end(UpstreamOutcome::Found);
                return Ok(Some(found));
            }
        }
        match last {
            Ok(_) => {
                self.accepted(&what);
                meter.end(UpstreamOutcome::Absent);
                Ok(None)
            }
            Err(error) => Err(self.failed(what, error, &mut meter)),
        }
    }

    /// Returns the error of a call if no request may be sent now.
    fn check_open(&self, what: &What) -> Result<(), UpstreamError> {
        let (kind, wait) = if self.0.offline {
            (UpstreamErrorKind::Offline, None)
        } else {
            match self.monitor().paused(self.clock().now()) {
                Some(rest) => (UpstreamErrorKind::RateLimited { abuse: true }, Some(rest)),
                None => return Ok(()),
            }
        };
        let what = what.clone();
        Err(UpstreamError::unasked(self.name(), what, kind, wait))
    }

    fn accepted(&self, what: &What) {
        let repository = what.repository().map(RepositoryName::as_str);
        self.0.credentials.accepted(repository);
    }

    /// Reports a failed call, and returns its error.
    fn failed(&self, what: What, error: Error, meter: &mut Meter) -> UpstreamError {
        let kind = UpstreamErrorKind::of(&error, || {
            let states_quota = self.monitor().is_used_up_since(meter.begun());
            let refusal = error.refusal();
            refusal.is_some_and(|refusal| quota::is_abuse(refusal, states_quota))
        });
        if kind == (UpstreamErrorKind::RateLimited { abuse: true }) {
            self.monitor()
                .pause(self.clock().now(), error.retry_after());
        }
        meter.end(UpstreamOutcome::Failed(kind));
        let refused_credentials = kind == UpstreamErrorKind::Denied && error.had_credentials();
        let error = UpstreamError::new(self.name(), what, kind, error);
        // Log only the first of consecutive failures.
        if refused_credentials || kind.is_failure() && self.monitor().failures() == 1 {
            let causes = format!("{error:?}");
            let causes = Escaped::text(&causes);
            tracing::warn!(upstream = %self.name(), %causes, "an upstream failed");
        }
        error
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    fn monitor(&self) -> &Monitor {
        &self.0.monitor
    }

    fn on_call(&self) -> Option<&OnCall> {
        self.0.on_call.as_ref()
    }
}

/// Turns the error for something that does not exist into `None`.
fn unless_absent<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.0.name)
            .field("offline", &self.0.offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
