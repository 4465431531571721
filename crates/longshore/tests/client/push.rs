//! Pushing blobs and manifests.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use longshore::model::Digest;
use longshore::transport::{Body, Capabilities, Phase, Transport, TransportError, from_fn};
use longshore::{
    Client, ClientBuilder, Content, Error, ErrorKind, OpeningContent, PushOptions, PushedBlob,
    Repository, StreamContent, UploadOutcome,
};

use crate::auth::{CHALLENGE, unauthorized};
use crate::support::{HOME, app, closed, poll_times, reply};

pub(crate) const BLOB: &[u8] = b"the content of a blob";

/// The answer of a registry to the request with this number and line.
type Script = dyn Fn(usize, &str) -> Result<Response<Body>, TransportError> + Send + Sync;

/// A registry that reads each request to its end, records it in one line, and answers by a script.
#[derive(Clone)]
pub(crate) struct Peer {
    seen: Arc<Mutex<Vec<String>>>,
    script: Arc<Script>,
}

impl Peer {
    pub(crate) fn new<F>(script: F) -> Self
    where
        F: Fn(usize, &str) -> Result<Response<Body>, TransportError> + Send + Sync + 'static,
    {
        Self {
            seen: Arc::default(),
            script: Arc::new(script),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let (head, mut body) = request.into_parts();
        let mut content = Vec::new();
        while let Some(frame) = body.frame().await {
            content.extend_from_slice(&frame?.into_data().unwrap());
        }
        let path = head.uri.to_string().replace(HOME, "");
        let digest = Digest::sha256(BLOB);
        let path = path.replace(&digest.as_str().replace(':', "%3A"), "D");
        let path = path.replace(digest.as_str(), "D");
        let range = head.headers.get("content-range");
        let range = range.map_or("", |range| range.to_str().unwrap());
        let content = String::from_utf8(content).unwrap();
        let words = [head.method.as_str(), &path, range, &content];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let line = words.join(" ");
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(line.clone());
            seen.len() - 1
        };
        (self.script)(number, &line)
    }

    pub(crate) async fn repository(&self) -> Repository {
        self.limited(|client| client).await
    }

    async fn limited(&self, limits: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Repository {
        let peer = self.clone();
        let transport = from_fn(move |request| peer.clone().serve(request));
        let transport = transport.declaring(Capabilities::all());
        let client = Client::builder()
            .transport(transport)
            .clock(longshore::transport::TestClock::default());
        app(limits(client).build().unwrap()).await
    }
}

/// Opens sessions, and accepts everything.
pub(crate) fn accepting(line: &str) -> Response<Body> {
    match line.split(' ').next().unwrap() {
        "POST" => reply(202, &[("location", "/s?a=1")], ""),
        "PATCH" => reply(202, &[], ""),
        "PUT" => reply(201, &[], ""),
        "GET" => reply(204, &[("range", "0-6")], ""),
        "DELETE" => reply(202, &[], ""),
        _ => reply(404, &[], ""),
    }
}

fn options() -> PushOptions {
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(BLOB));
    options
}

async fn push(peer: &Peer, options: PushOptions) -> Result<PushedBlob, Error> {
    let content = Bytes::from_static(BLOB);
    peer.repository().await.put_blob(&content, options).await
}

#[tokio::test]
async fn a_blob_is_sent_in_one_request_and_its_digest_is_returned() {
    for digest in [None, Some(Digest::sha256(BLOB))] {
        let peer = Peer::new(|_, line| Ok(accepting(line)));
        let mut options = PushOptions::default();
        options.digest.clone_from(&digest);
        let pushed = push(&peer, options).await.unwrap();
        assert_eq!(pushed.digest, Digest::sha256(BLOB));
        assert_eq!(pushed.outcome, UploadOutcome::Sent);
        let expected: &[&str] = if digest.is_some() {
            &[
                "POST /v2/app/blobs/uploads/",
                "PUT /s?a=1&digest=D the content of a blob",
            ]
        } else {
            &[
                "POST /v2/app/blobs/uploads/",
                "PATCH /s?a=1 0-20 the content of a blob",
                "PUT /s?a=1&digest=D",
            ]
        };
        assert_eq!(peer.lines(), expected);
    }
}

#[tokio::test]
async fn a_chunk_that_broke_off_is_continued_at_the_byte_that_the_registry_names() {
    let peer = Peer::new(|number, line| match number {
        1 => Err(closed(Phase::Head)),
        _ => Ok(accepting(line)),
    });
    let mut options = options();
    options.chunk = Some(14);
    push(&peer, options).await.unwrap();
    assert_eq!(
        peer.lines(),
        [
            "POST /v2/app/blobs/uploads/",
            "PATCH /s?a=1 0-13 the content of",
            "GET /s?a=1",
            "PATCH /s?a=1 7-20 tent of a blob",
            "PUT /s?a=1&digest=D",
        ]
    );
}

// DG7 (after a failed commit the client sends HEAD before it uploads again)
#[tokio::test]
async fn dg7_a_commit_without_an_answer_is_looked_up_before_it_is_repeated() {
    let peer = Peer::new(|number, line| match number {
        1 => Err(closed(Phase::Head)),
        2 => Ok(reply(200, &[("content-length", "21")], "")),
        _ => Ok(accepting(line)),
    });
    let pushed = push(&peer, options()).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    assert_eq!(peer.lines().last().unwrap(), "HEAD /v2/app/blobs/D");
    assert_eq!(peer.lines().len(), 3);
}

#[tokio::test]
async fn content_that_is_not_its_digest_is_not_sent_and_the_session_is_cancelled() {
    let peer = Peer::new(|_, line| Ok(accepting(line)));
    let content = Bytes::from_static(b"other content");
    let repository = peer.repository().await;
    let failed = repository.put_blob(&content, options()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body);
    let text = format!("{failed:?}");
    assert!(text.contains("its digest is sha256:"), "{text}");
    assert_eq!(
        peer.lines(),
        ["POST /v2/app/blobs/uploads/", "DELETE /s?a=1"]
    );
}

#[tokio::test]
async fn verified_content_is_sent_without_being_hashed_and_with_its_size_checked() {
    let peer = Peer::new(|_, line| Ok(accepting(line)));
    let mut options = options();
    options.verified = true;
    let repository = peer.repository().await;
    let content = Bytes::from_static(b"other content");
    let pushed = repository.put_blob(&content, options.clone()).await;
    assert_eq!(pushed.unwrap().digest, Digest::sha256(BLOB));
    assert_eq!(
        peer.lines(),
        [
            "POST /v2/app/blobs/uploads/",
            "PUT /s?a=1&digest=D other content"
        ]
    );
    let content = StreamContent::new(Frames(vec!["more than", "it says"]), Some(13));
    let failed = repository.put_blob(&content, options).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body);
    let text = format!("{failed:?}");
    assert!(text.contains("it has more than 13 bytes"), "{text}");
}

#[tokio::test]
async fn a_refusal_is_shown_and_the_session_is_cancelled() {
    let body = r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#;
    let peer = Peer::new(move |number, line| match number {
        1 => Ok(reply(403, &[], body)),
        _ => Ok(accepting(line)),
    });
    let failed = push(&peer, options()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Denied);
    assert!(failed.to_string().contains("quota exceeded"), "{failed}");
    assert_eq!(peer.lines().last().unwrap(), "DELETE /s?a=1");
}

#[tokio::test]
async fn a_stream_is_sent_once_and_named_by_its_digest() {
    for known in [None, Some(Digest::sha256(BLOB))] {
        let peer = Peer::new(|_, line| Ok(accepting(line)));
        let repository = peer.repository().await;
        let content = StreamContent::new(Frames(vec![" a blob", " content of", "the"]), None);
        let mut options = PushOptions::default();
        options.digest = known;
        let pushed = repository.put_blob(&content, options).await;
        assert_eq!(pushed.unwrap().digest, Digest::sha256(BLOB));
        assert_eq!(
            peer.lines(),
            [
                "POST /v2/app/blobs/uploads/",
                "PATCH /s?a=1 the content of a blob",
                "PUT /s?a=1&digest=D",
            ]
        );
    }
}

#[tokio::test]
async fn a_stream_that_broke_off_says_that_it_cannot_be_read_again() {
    for size in [None, Some(21)] {
        let peer = Peer::new(|number, line| match number {
            1 => Err(closed(Phase::Head)),
            _ => Ok(accepting(line)),
        });
        let repository = peer.repository().await;
        let content = StreamContent::new(Frames(vec![" a blob", " content of", "the"]), size);
        let pushed = repository.put_blob(&content, PushOptions::default()).await;
        let failed = pushed.unwrap_err();
        let text = format!("{failed:?}");
        let expected = "the upload broke off after 7 bytes, and its source cannot be read again";
        assert!(text.contains(expected), "{text}");
        assert_eq!(failed.kind(), ErrorKind::Body);
        assert_eq!(peer.lines()[2..], ["GET /s?a=1", "DELETE /s?a=1"]);
    }
}

// DG3 (content of unknown size is named only if it has the digest)
#[tokio::test]
async fn dg3_a_stream_that_is_not_its_digest_is_not_named() {
    let peer = Peer::new(|_, line| Ok(accepting(line)));
    let repository = peer.repository().await;
    let content = StreamContent::new(Frames(vec!["other content"]), None);
    let failed = repository.put_blob(&content, options()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body);
    assert_eq!(peer.lines().last().unwrap(), "DELETE /s?a=1");
}

/// Pieces of a stream, in reverse order.
struct Frames(Vec<&'static str>);

impl futures_core::Stream for Frames {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Poll::Ready(
            self.0
                .pop()
                .map(|piece| Ok(Bytes::from_static(piece.as_bytes()))),
        )
    }
}

/// A blob of a registry, as content.
struct Pulled(Repository);

impl Content for Pulled {
    fn size(&self) -> Option<u64> {
        Some(BLOB.len() as u64)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        Box::pin(async move {
            let blob = self.0.blob(&Digest::sha256(BLOB), self.size());
            let bytes = blob.unwrap().bytes(100).await.unwrap();
            bytes.open(position).await
        })
    }
}

#[tokio::test]
async fn content_that_is_read_from_the_same_registry_needs_no_second_turn() {
    let peer = Peer::new(|_, line| match line {
        "GET /v2/app/blobs/D" => Ok(reply(200, &[], Bytes::from_static(BLOB))),
        _ => Ok(accepting(line)),
    });
    // The client has memory for one body, and a slot for one request.
    let repository = peer
        .limited(|client| client.requests_per_origin(1).memory(1))
        .await;
    let content = Pulled(repository.clone());
    let Poll::Ready(pushed) = poll_times(100, repository.put_blob(&content, options())) else {
        panic!("waits after {:?}", peer.lines());
    };
    assert_eq!(pushed.unwrap().outcome, UploadOutcome::Sent);
    assert_eq!(
        peer.lines(),
        [
            "POST /v2/app/blobs/uploads/",
            "GET /v2/app/blobs/D",
            "PUT /s?a=1&digest=D the content of a blob",
        ]
    );
}

#[tokio::test]
async fn an_upload_learns_the_challenge_from_a_request_without_a_body() {
    let peer = Peer::new(|number, line| match number {
        0 => Ok(unauthorized(CHALLENGE)),
        1 => Ok(reply(200, &[], r#"{"token":"t"}"#)),
        _ => Ok(accepting(line)),
    });
    push(&peer, options()).await.unwrap();
    assert_eq!(
        peer.lines(),
        [
            "POST /v2/app/blobs/uploads/",
            "GET https://auth.example.com/token?service=r&scope=repository%3Aapp%3Apull%2Cpush",
            "POST /v2/app/blobs/uploads/",
            "PUT /s?a=1&digest=D the content of a blob",
        ]
    );
}

#[tokio::test]
async fn what_is_deleted_says_whether_it_was_there() {
    for (status, expected) in [
        (202, Ok(true)),
        (404, Ok(false)),
        (405, Err(ErrorKind::Unsupported)),
    ] {
        let peer = Peer::new(move |_, _| Ok(reply(status, &[], "")));
        let repository = peer.repository().await;
        let digest = Digest::sha256(BLOB);
        let tag = "v1".parse().unwrap();
        let found = [
            repository.delete_blob(&digest).await,
            repository.delete_manifest(&digest).await,
            repository.delete_tag(&tag).await,
        ];
        for found in found {
            assert_eq!(found.map_err(|error| error.kind()), expected);
        }
        assert_eq!(
            peer.lines(),
            [
                "DELETE /v2/app/blobs/D",
                "DELETE /v2/app/manifests/D",
                "DELETE /v2/app/manifests/v1",
            ]
        );
    }
}

// RT4: a lost answer leaves open whether the request was carried out.
#[tokio::test]
async fn rt4_what_is_gone_after_a_lost_answer_counts_as_deleted() {
    for (first, deleted) in [
        (Err(Phase::Head), true),
        (Err(Phase::Connect), false),
        (Ok(502), true),
        (Ok(504), true),
        (Ok(429), false),
        (Ok(503), false),
    ] {
        let peer = Peer::new(move |number, _| match (number, first) {
            (0, Err(phase)) => Err(closed(phase)),
            (0, Ok(status)) => Ok(reply(status, &[], "")),
            _ => Ok(reply(404, &[], "")),
        });
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let listen = move |notice: &_| told.lock().unwrap().push(ToString::to_string(notice));
        let repository = peer.limited(|client| client.on_notice(listen)).await;
        let tag = "v1".parse().unwrap();
        assert_eq!(
            repository.delete_tag(&tag).await.unwrap(),
            deleted,
            "{first:?}"
        );
        assert_eq!(peer.lines(), ["DELETE /v2/app/manifests/v1"; 2]);
        let notice = "https://r.example.com does not have manifest v1 of app: an earlier attempt, \
                      whose answer was lost, may have deleted it";
        let expected: &[&str] = if deleted { &[notice] } else { &[] };
        assert_eq!(*notices.lock().unwrap(), expected, "{first:?}");
    }
}
