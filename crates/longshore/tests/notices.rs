//! What a registry says beside its answers.
#![expect(clippy::unwrap_used, reason = "in a test, panicking is how to fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::model::{Digest, Reference};
use longshore::proto::RateLimit;
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{Client, Notice};

async fn told(script: Vec<Exchange>) -> Vec<Notice> {
    let transport = ScriptedTransport::new(script);
    let notices = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&notices);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .on_notice(move |notice| listener.lock().unwrap().push(notice.clone()))
        .build()
        .unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let digest = Digest::sha256(b"content");
    for _ in 0..2 {
        let blob = repository.blob(&digest, None).unwrap().bytes(9).await;
        assert_eq!(blob.unwrap(), "content");
    }
    transport.finish();
    let told = notices.lock().unwrap();
    told.clone()
}

fn blob(origin: &str, status: u16) -> Exchange {
    let digest = Digest::sha256(b"content");
    let get = Exchange::new("GET", &format!("{origin}/v2/app/blobs/{digest}"), status);
    if status == 200 {
        get.body("content")
    } else {
        get
    }
}

const HOME: &str = "https://r.example";

#[tokio::test]
async fn a_warning_is_told_once_and_a_rate_limit_each_time() {
    let answer = |remaining: &str| {
        blob(HOME, 200)
            .header("warning", "299 - \"Going away.\"")
            .header("ratelimit-limit", "100;w=3600")
            .header("ratelimit-remaining", remaining)
    };
    let limit = |remaining| Notice::RateLimit {
        origin: HOME.parse().unwrap(),
        limit: RateLimit::new(remaining, 100, Duration::from_secs(3600)),
    };
    let notices = told(vec![answer("7"), answer("6")]).await;
    // RT8
    assert_eq!(notices[1..], [limit(7), limit(6)]);
    let shown: Vec<_> = notices.iter().map(Notice::to_string).collect();
    assert_eq!(
        shown[..2],
        [
            "https://r.example warns: Going away.",
            "https://r.example: 7 of 100 requests left in 3600 s"
        ]
    );
}

#[tokio::test]
async fn dg2_a_digest_header_that_cannot_be_used_is_reported_once() {
    let answer = |value| blob(HOME, 200).header("docker-content-digest", value);
    let notices = told(vec![answer("md5:abc"), answer("sha256:7")]).await;
    let ignored = Notice::IgnoredHeader {
        origin: HOME.parse().unwrap(),
        header: "docker-content-digest",
        value: "md5:abc".to_owned(),
    };
    assert_eq!(
        ignored.to_string(),
        "https://r.example sends a docker-content-digest that cannot be used, which is ignored: \
         \"md5:abc\""
    );
    assert_eq!(notices, [ignored]);
}

// OU1
#[tokio::test]
async fn ou1_a_warning_cannot_reach_the_terminal_raw() {
    let odd = blob(HOME, 200).header("warning", "299 - \"a\u{202e}\u{9b}2Jb\"");
    let notices = told(vec![odd, blob(HOME, 200)]).await;
    let shown: Vec<_> = notices.iter().map(Notice::to_string).collect();
    assert_eq!(shown, [r"https://r.example warns: a\u{202e}\u{9b}2Jb"]);
}

#[tokio::test]
async fn what_a_foreign_origin_says_is_not_told() {
    let digest = Digest::sha256(b"content");
    let there = format!("https://cdn.example/v2/app/blobs/{digest}");
    let away = || blob(HOME, 307).header("location", &there);
    let there = || {
        blob("https://cdn.example", 200)
            .header("warning", "299 - \"Buy now.\"")
            .header("ratelimit-remaining", "0")
    };
    assert_eq!(told(vec![away(), there(), away(), there()]).await, []);
}
