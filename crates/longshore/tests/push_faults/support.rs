//! A registry, a client, and a short form of the requests between them.

use bytes::Bytes;
use longshore::model::{Digest, Reference};
use longshore::transport::{Clock, TestClock};
use longshore::{
    Client, ClientBuilder, Error, HostSettings, PushOptions, PushedBlob, Repository, StreamContent,
};
use longshore_testkit::RecordedRequest;
use longshore_testkit::registry::{Quirks, Registry};

/// A blob of 26 bytes.
pub(crate) const BLOB: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// A writable registry with some switches set.
pub(crate) fn registry(set: impl FnOnce(&mut Quirks)) -> Registry {
    let mut quirks = Quirks::default();
    set(&mut quirks);
    let builder = Registry::builder().writable().quirks(quirks);
    builder.start().unwrap()
}

/// A client of this registry whose waits end at once.
pub(crate) fn builder(registry: &Registry) -> ClientBuilder {
    timed(registry, TestClock::default())
}

pub(crate) fn timed(registry: &Registry, clock: impl Clock) -> ClientBuilder {
    let mut settings = HostSettings::default();
    settings.plain_http = true;
    let builder = Client::builder().clock(clock).jitter(|| 0);
    builder.host(&registry.authority(), settings)
}

/// The repository `app`.
pub(crate) async fn app(registry: &Registry, client: &Client) -> Repository {
    let reference: Reference = format!("{}/app", registry.authority()).parse().unwrap();
    client.repository(&reference).await.unwrap()
}

/// The repository `app`, for a client without credentials.
pub(crate) async fn repository(registry: &Registry) -> Repository {
    app(registry, &builder(registry).build().unwrap()).await
}

/// The options for [`BLOB`], sent as a whole.
pub(crate) fn whole() -> PushOptions {
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(BLOB));
    options
}

/// The options for [`BLOB`], sent in chunks of ten bytes.
pub(crate) fn chunked() -> PushOptions {
    let mut options = whole();
    options.chunk = Some(10);
    options
}

pub(crate) async fn push(registry: &Registry, options: PushOptions) -> Result<PushedBlob, Error> {
    let content = Bytes::from_static(BLOB);
    let repository = repository(registry).await;
    repository.put_blob(&content, options).await
}

/// [`BLOB`] as a stream that can be read once, of unknown size.
pub(crate) fn stream() -> StreamContent {
    StreamContent::new(Once(Some(Bytes::from_static(BLOB))), None)
}

/// A stream of one piece.
pub(crate) struct Once(pub(crate) Option<Bytes>);

impl futures_core::Stream for Once {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.take().map(Ok))
    }
}

/// Each request in short: method, path below the repository, `Content-Range`, how many bytes of
/// the body the registry read, status.
pub(crate) fn lines(registry: &Registry) -> Vec<String> {
    registry.requests().all().iter().map(line).collect()
}

fn line(request: &RecordedRequest) -> String {
    let digest = Digest::sha256(BLOB);
    let path = request.uri.path_and_query().unwrap().as_str();
    let path = path.replace("/v2/app/blobs/", "");
    let path = path.replace(&digest.as_str().replace(':', "%3A"), "D");
    let path = path.replace(digest.as_str(), "D");
    let range = request.header("content-range").unwrap_or_default();
    let length = match request.body.len() {
        0 => String::new(),
        length => format!("[{length}]"),
    };
    let status = request.status.map_or(0, |status| status.as_u16());
    let status = status.to_string();
    let words = [request.method.as_str(), &path, range, &length, &status];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// What the registry has as [`BLOB`]; `None` when it has nothing.
pub(crate) fn stored(registry: &Registry) -> Option<Bytes> {
    let blob = registry.contents().blob("app", &Digest::sha256(BLOB));
    blob.map(|content| content.bytes())
}
