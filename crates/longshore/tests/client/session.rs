//! Uploads that are continued by another push.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use longshore::model::Digest;
use longshore::transport::{Body, Phase};
use longshore::{
    ErrorKind, PushObserver, PushOptions, SessionKeeper, UploadOutcome, UploadSession,
};

use crate::push::{BLOB, Peer, accepting};
use crate::support::{
    BASIC, EVIL, HOME, Net, PASSWORD, USER, app, basic, builder, closed, poll_times, reply,
};

/// The calls of a keeper, as texts.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl SessionKeeper for Told {
    fn keep(&self, session: &UploadSession) {
        let text = session.to_secret_text().expose().to_owned();
        self.0.lock().unwrap().push(text);
    }

    fn forget(&self) {
        self.0.lock().unwrap().push("forgotten".to_owned());
    }
}

impl PushObserver for Told {
    fn sent(&self, bytes: u64) {
        self.0.lock().unwrap().push(format!("{bytes} bytes"));
    }

    fn resumed(&self, position: u64) {
        self.0.lock().unwrap().push(format!("from {position}"));
    }
}

fn options(keeper: &Arc<Told>) -> PushOptions {
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(BLOB));
    options.chunk = Some(8);
    options.keeper = Some(keeper.clone());
    options
}

/// The text of a session at this place.
fn text(trust: &str, location: &str) -> String {
    format!("1 {HOME} {trust} 0 {location}")
}

fn saved(text: &str) -> Option<UploadSession> {
    let session = UploadSession::from_secret_text(text);
    assert!(session.is_some(), "{text}");
    session
}

/// A registry whose session moves with each chunk, and which has this many bytes of it.
fn moving(line: &str, received: usize) -> Response<Body> {
    let number = |line: &str| {
        line.split(['=', ' '])
            .nth(2)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    match line.split(' ').next().unwrap() {
        "POST" => reply(202, &[("location", "/s?n=0")], ""),
        "PATCH" => {
            let next = format!("/s?n={}", number(line) + 1);
            reply(202, &[("location", &next)], "")
        }
        "GET" => reply(204, &[("range", &format!("0-{}", received - 1))], ""),
        _ => accepting(line),
    }
}

#[tokio::test]
async fn a_push_that_broke_off_is_continued_by_another_with_the_same_bytes() {
    let told = Arc::new(Told::default());
    let peer = Peer::new(|number, line| match number {
        0 | 1 => Ok(moving(line, 0)),
        _ => Err(closed(Phase::Head)),
    });
    let repository = peer.repository().await;
    let content = Bytes::from_static(BLOB);
    let failed = repository.put_blob(&content, options(&told)).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    let first = text("home", &format!("{HOME}/s?n=0"));
    let second = text("home", &format!("{HOME}/s?n=1"));
    assert_eq!(told.take(), [first, second.clone()]);
    let lines = peer.lines();
    assert_eq!(
        lines[1..3],
        ["PATCH /s?n=0 0-7 the cont", "PATCH /s?n=1 8-15 ent of a"]
    );
    assert!(
        lines[3..].iter().all(|line| line == "GET /s?n=1"),
        "{lines:?}"
    );

    for (verified, content) in [(false, BLOB), (true, b"THE CONTent of a blob".as_slice())] {
        let peer = Peer::new(|_, line| Ok(moving(line, 8)));
        let repository = peer.repository().await;
        let mut options = options(&told);
        options.session = saved(&second);
        options.verified = verified;
        options.observer = Some(told.clone());
        let content = Bytes::from_static(content);
        let pushed = repository.put_blob(&content, options).await.unwrap();
        assert_eq!(pushed.outcome, UploadOutcome::Sent);
        assert_eq!(
            peer.lines(),
            [
                "GET /s?n=1",
                "PATCH /s?n=1 8-15 ent of a",
                "PATCH /s?n=2 16-20  blob",
                "PUT /s?n=3&digest=D",
            ]
        );
        let third = text("home", &format!("{HOME}/s?n=2"));
        let last = text("home", &format!("{HOME}/s?n=3"));
        let kept = [
            &second,
            "from 8",
            "8 bytes",
            &third,
            "5 bytes",
            &last,
            "forgotten",
        ];
        assert_eq!(told.take(), kept);
    }
}

#[tokio::test]
async fn content_that_changed_is_not_continued_and_the_session_is_cancelled() {
    let told = Arc::new(Told::default());
    let peer = Peer::new(|_, line| Ok(moving(line, 8)));
    let repository = peer.repository().await;
    let mut options = options(&told);
    options.session = saved(&text("home", &format!("{HOME}/s?n=1")));
    let content = Bytes::from_static(b"THE CONTent of a blob");
    let failed = repository.put_blob(&content, options).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Body);
    // All of it was read before the second request would have been sent.
    assert_eq!(peer.lines(), ["GET /s?n=1", "DELETE /s?n=1"]);
    assert_eq!(told.take().last().unwrap(), "forgotten");
}

#[tokio::test]
async fn a_refused_push_cancels_its_session_and_a_dropped_one_leaves_it() {
    let told = Arc::new(Told::default());
    let peer = Peer::new(|number, line| match number {
        1 => Ok(reply(403, &[], "")),
        _ => Ok(moving(line, 0)),
    });
    let repository = peer.repository().await;
    let content = Bytes::from_static(BLOB);
    let failed = repository.put_blob(&content, options(&told)).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(peer.lines().last().unwrap(), "DELETE /s?n=0");
    let first = text("home", &format!("{HOME}/s?n=0"));
    assert_eq!(told.take(), [&first, "forgotten"]);

    let content = Stuck;
    let peer = Peer::new(|_, line| Ok(moving(line, 0)));
    let repository = peer.repository().await;
    assert!(poll_times(9, repository.put_blob(&content, options(&told))).is_pending());
    assert_eq!(peer.lines(), ["POST /v2/app/blobs/uploads/"]);
    assert_eq!(told.take(), [first]);
}

/// Content that never arrives.
struct Stuck;

impl longshore::Content for Stuck {
    fn size(&self) -> Option<u64> {
        Some(BLOB.len() as u64)
    }

    fn open(&self, _: u64) -> longshore::OpeningContent<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_session_that_is_gone_or_of_another_registry_is_replaced() {
    let other = "1 https://other.example.com home 0 https://other.example.com/s?n=1";
    let home = text("home", &format!("{HOME}/s?n=1"));
    for (session, first) in [
        (home.as_str(), &["GET /s?n=1", "HEAD /v2/app/blobs/D"][..]),
        (other, &[]),
    ] {
        let told = Arc::new(Told::default());
        let peer = Peer::new(|_, line| match line.split(' ').next().unwrap() {
            "GET" => Ok(reply(404, &[], "")),
            _ => Ok(moving(line, 0)),
        });
        let repository = peer.repository().await;
        let mut options = options(&told);
        options.chunk = None;
        options.session = saved(session);
        let content = Bytes::from_static(BLOB);
        let pushed = repository.put_blob(&content, options).await.unwrap();
        assert_eq!(pushed.outcome, UploadOutcome::Sent);
        let new = [
            "POST /v2/app/blobs/uploads/",
            "PUT /s?n=0&digest=D the content of a blob",
        ];
        assert_eq!(peer.lines(), [first, &new].concat());
        let kept = text("home", &format!("{HOME}/s?n=0"));
        let told = told.take();
        assert_eq!(told[told.len() - 2..], [&kept, "forgotten"]);
    }
}

// RD4 (at a foreign origin no secret is sent and a 401 is final)
#[tokio::test]
async fn rd4_a_kept_session_at_another_origin_gets_no_secret() {
    let net = Net::serving(|seen| {
        let basic = [("www-authenticate", "Basic realm=\"x\"")];
        match seen.header("authorization") {
            _ if seen.uri.starts_with(EVIL) => reply(401, &basic, ""),
            Some(BASIC) => reply(200, &[("content-length", "21")], ""),
            _ => reply(401, &basic, ""),
        }
    });
    let client = builder(&net).credentials(basic()).build().unwrap();
    let told = Arc::new(Told::default());
    let mut options = options(&told);
    options.session = saved(&text("home", &format!("{EVIL}/s?n=1")));
    let content = Bytes::from_static(BLOB);
    let pushed = app(client).await.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Existing);
    assert_eq!(net.count(EVIL), 1);
    net.was_never_told(EVIL, &[USER, PASSWORD, BASIC]);
    assert_eq!(told.take(), ["forgotten"]);
}
