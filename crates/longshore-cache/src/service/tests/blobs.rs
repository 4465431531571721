//! Blobs: whole, in ranges, and while they arrive.

use std::ops::Range;

use super::*;

const MIB: u64 = 1 << 20;

/// A cache whose upstream has this blob in `app`.
fn with_blob(content: &BlobContent) -> (Cache, Digest) {
    let digest = digest_of(content);
    (cache_with(Setup::new(), &digest, content), digest)
}

fn cache_with(setup: Setup, digest: &Digest, content: &BlobContent) -> Cache {
    let cache = setup.start();
    let contents = cache.registry.contents();
    contents.set_blob("app", digest, content.clone());
    cache
}

fn digest_of(content: &BlobContent) -> Digest {
    Digest::of(&"sha256".parse().unwrap(), &content.bytes()).unwrap()
}

fn random(size: u64) -> BlobContent {
    BlobContent::random(3, size)
}

fn cut(content: &BlobContent, range: Range<u64>) -> Bytes {
    let bytes = content.bytes();
    let at = |position: u64| usize::try_from(position).unwrap();
    bytes.slice(at(range.start)..at(range.end))
}

async fn range(cache: &Cache, digest: &Digest, range: &str) -> Answer {
    cache
        .ask(Method::GET, &blob(digest), &[("range", range)])
        .await
}

/// Method and range of the requests that the registry got since the last call.
fn upstream_ranges(cache: &Cache) -> Vec<String> {
    let requests = cache.registry.requests();
    let lines = requests.all();
    requests.clear();
    let line = |it: &longshore_testkit::RecordedRequest| match it.header("range") {
        Some(range) => format!("{} {range}", it.method),
        None => it.method.to_string(),
    };
    lines.iter().map(line).collect()
}

/// The parts of a `multipart/byteranges` body, by the book (RFC 9110 §14.6, RFC 2046 §5.1): the
/// `Content-Range` of each and its bytes.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let kind = answer.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    let body = [b"\r\n", &answer.bytes()[..]].concat();
    let find = |from: usize, text: &[u8]| {
        let found = body[from..].windows(text.len()).position(|it| it == text);
        found.map(|at| from + at)
    };
    let mut parts = Vec::new();
    let mut at = find(0, delimiter.as_bytes()).unwrap() + delimiter.len();
    while !body[at..].starts_with(b"--") {
        let head_end = find(at, b"\r\n\r\n").unwrap();
        let head = String::from_utf8(body[at..head_end].to_vec()).unwrap();
        let field = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-range")
                .then(|| value.to_owned())
        });
        let end = find(head_end + 4, delimiter.as_bytes()).unwrap();
        parts.push((field.unwrap(), body[head_end + 4..end].to_vec()));
        at = end + delimiter.len();
    }
    parts
}

#[tokio::test]
async fn a_blob_is_fetched_once_and_answered_byte_for_byte() {
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000] {
        let content = random(size);
        let (cache, digest) = with_blob(&content);
        for outcome in [Outcome::Miss(MissReason::Cold), Outcome::Hit] {
            let answer = cache.get(&blob(&digest)).await;
            assert_eq!(*answer.bytes(), content.bytes(), "{size}");
            assert_eq!(
                answer.header("content-length"),
                Some(size.to_string().as_str())
            );
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
            assert_eq!(
                answer.header("docker-content-digest"),
                Some(digest.as_str())
            );
            assert_eq!(cache.outcome(), Some(outcome), "{size}");
            cache.settle().await;
        }
        assert_eq!(upstream_ranges(&cache), ["GET"], "{size}");
    }
}

#[tokio::test]
async fn head_of_a_blob_that_is_not_stored_asks_the_upstream_once() {
    let (cache, digest) = with_blob(&random(300_000));
    for _ in 0..2 {
        let answer = cache.head(&blob(&digest)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-length"), Some("300000"));
    }
    assert_eq!(upstream_ranges(&cache), ["HEAD"]);
    let cold = Outcome::Miss(MissReason::Cold);
    assert_eq!(cache.outcomes(), [cold, Outcome::Hit]);
    let absent: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    for _ in 0..2 {
        assert_eq!(
            cache.head(&blob(&absent)).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(upstream_ranges(&cache), ["HEAD"]);
    assert_eq!(cache.outcomes(), [cold, Outcome::Negative]);
}

#[tokio::test]
async fn ranges_of_a_blob_are_exact_whether_it_is_stored_or_not() {
    let content = random(300_000);
    for stored in [true, false] {
        for (text, status, expected) in [
            ("bytes=0-0", 206, Some(0..1)),
            ("bytes=5-9", 206, Some(5..10)),
            ("bytes=299990-", 206, Some(299_990..300_000)),
            ("bytes=-10", 206, Some(299_990..300_000)),
            ("bytes=100000-400000", 206, Some(100_000..300_000)),
            ("bytes=0-", 206, Some(0..300_000)),
            ("bytes=300000-", 416, None),
            ("bytes=300000-300005", 416, None),
            ("lines=1-2", 200, Some(0..300_000)),
        ] {
            let (cache, digest) = with_blob(&content);
            if stored {
                cache.get(&blob(&digest)).await;
                cache.settle().await;
            }
            let answer = range(&cache, &digest, text).await;
            assert_eq!(answer.status.as_u16(), status, "{stored} {text}");
            let Some(expected) = expected else {
                assert_eq!(answer.header("content-range"), Some("bytes */300000"));
                continue;
            };
            assert_eq!(
                *answer.bytes(),
                cut(&content, expected.clone()),
                "{stored} {text}"
            );
            if status == 206 {
                let field = format!("bytes {}-{}/300000", expected.start, expected.end - 1);
                assert_eq!(answer.header("content-range"), Some(field.as_str()));
            }
        }
    }
}

#[tokio::test]
async fn several_ranges_are_one_multipart_answer() {
    let content = random(300_000);
    for stored in [true, false] {
        let (cache, digest) = with_blob(&content);
        if stored {
            cache.get(&blob(&digest)).await;
            cache.settle().await;
        }
        let answer = range(&cache, &digest, "bytes=0-9, 1000-1999,-5").await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        let length = answer.bytes().len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let expected = [(0, 10), (1000, 2000), (299_995, 300_000)].map(|(first, end)| {
            let field = format!("bytes {first}-{}/300000", end - 1);
            (field, cut(&content, first..end).to_vec())
        });
        assert_eq!(parts(&answer), expected, "{stored}");
        let mark = (!stored).then_some("no");
        assert_eq!(answer.header("longshore-verified"), mark);
        let many: Vec<_> = (0..1025)
            .map(|it| format!("{}-{}", it * 4, it * 4 + 1))
            .collect();
        for refused in [
            format!("bytes={}", many.join(",")),
            "bytes=0-9,5-14".to_owned(),
        ] {
            let answer = range(&cache, &digest, &refused).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
    }
}

#[tokio::test]
async fn preconditions_cost_no_transfer() {
    let content = random(300_000);
    let (cache, digest) = with_blob(&content);
    let (tag, path) = (format!("\"{digest}\""), blob(&digest));
    let other = "\"sha256:0\"";
    for stored in [false, true] {
        let answer = cache
            .ask(Method::GET, &path, &[("if-none-match", &tag)])
            .await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{stored}");
        assert_eq!(*answer.bytes(), "");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        let requests = if stored { vec![] } else { vec!["HEAD"] };
        assert_eq!(upstream_ranges(&cache), requests, "{stored}");
        let answer = cache
            .ask(Method::GET, &path, &[("if-none-match", other)])
            .await;
        assert_eq!(*answer.bytes(), content.bytes());
        cache.settle().await;
        upstream_ranges(&cache);
        for (value, status) in [(tag.as_str(), 206), (other, 200)] {
            let headers = [("range", "bytes=0-9"), ("if-range", value)];
            let answer = cache.ask(Method::GET, &path, &headers).await;
            assert_eq!(answer.status.as_u16(), status, "{value}");
        }
    }
}

#[tokio::test]
async fn a_small_range_of_a_large_cold_blob_transfers_only_itself() {
    // The digest differs: ranges that are passed on are not verified.
    let content = BlobContent::repeated("0123456789", 64 * MIB);
    let digest = digest_of(&random(1));
    let cache = cache_with(Setup::new(), &digest, &content);
    let answer = range(&cache, &digest, "bytes=40000000-40000009").await;
    assert_eq!(*answer.bytes(), "0123456789");
    assert_eq!(answer.header("longshore-verified"), Some("no"));
    assert_eq!(cache.outcomes(), [Outcome::PassedThrough]);
    assert_eq!(
        upstream_ranges(&cache),
        ["HEAD", "GET bytes=40000000-40000009"]
    );
    let observed = cache.seen.0.lock().unwrap();
    assert_eq!((observed.unverified_ranges, observed.pulled), (1, 10));
}

#[tokio::test]
async fn many_small_ranges_end_in_a_fill() {
    let content = random(MIB);
    let (cache, digest) = with_blob(&content);
    for first in [0, 500_000, 200_000_u64] {
        let text = format!("bytes={first}-{}", first + 99_999);
        let answer = range(&cache, &digest, &text).await;
        assert_eq!(*answer.bytes(), cut(&content, first..first + 100_000));
    }
    cache.settle().await;
    let passed = Outcome::PassedThrough;
    assert_eq!(
        cache.outcomes(),
        [passed, passed, Outcome::Miss(MissReason::Cold)]
    );
    let expected = [
        "HEAD",
        "GET bytes=0-99999",
        "GET bytes=500000-599999",
        "GET",
    ];
    assert_eq!(upstream_ranges(&cache), expected);
    let answer = range(&cache, &digest, "bytes=7-8").await;
    assert_eq!(answer.header("longshore-verified"), None);
    assert_eq!(cache.outcomes(), [Outcome::Hit]);
}

#[tokio::test]
async fn a_range_far_ahead_of_a_fill_gets_a_request_of_its_own() {
    let content = BlobContent::repeated("0123456789", 10 * MIB);
    let (cache, digest) = with_blob(&content);
    let gate = Gate::new();
    let hold = Misbehaviour::HoldAfter(200_000, gate.clone());
    cache
        .registry
        .misbehave(Rule::on(Part::Blob, hold).method(Method::GET).times(1));
    let running = cache
        .send(Request::builder().uri(blob(&digest)).body(()).unwrap())
        .await;
    // A near range, and one that is already written.
    let near = range(&cache, &digest, "bytes=0-9").await;
    assert_eq!(*near.bytes(), "0123456789");
    assert_eq!(near.header("longshore-verified"), Some("no"));
    assert_eq!(cache.outcome(), Some(Outcome::Joined));
    let far = range(&cache, &digest, "bytes=10000000-10000009").await;
    assert_eq!(*far.bytes(), "0123456789");
    assert_eq!(cache.outcome(), Some(Outcome::PassedThrough));
    gate.open();
    assert_eq!(*Answer::read(running).await.bytes(), content.bytes());
    assert_eq!(
        upstream_ranges(&cache),
        ["GET", "GET bytes=10000000-10000009"]
    );
}

#[tokio::test]
async fn a_range_can_be_made_to_wait_for_the_whole() {
    let content = random(MIB);
    let digest = digest_of(&content);
    let setup = Setup::new().service(|it| it.unverified_ranges(UnverifiedRanges::Wait));
    let cache = cache_with(setup, &digest, &content);
    let answer = range(&cache, &digest, "bytes=900000-900009").await;
    assert_eq!(*answer.bytes(), cut(&content, 900_000..900_010));
    assert_eq!(answer.header("longshore-verified"), None);
    assert_eq!(upstream_ranges(&cache), ["HEAD", "GET"]);
    assert_eq!(cache.seen.0.lock().unwrap().unverified_ranges, 0);
}

#[tokio::test]
async fn ca5_64_cold_clients_cost_one_transfer_and_those_who_leave_disturb_nobody() {
    let content = random(MIB);
    let (cache, digest) = with_blob(&content);
    let gate = Gate::new();
    let hold = Misbehaviour::HoldAfter(300_000, gate.clone());
    cache.misbehave(Rule::on(Part::Blob, hold));
    let mut answers = Vec::new();
    for _ in 0..64 {
        let request = Request::builder().uri(blob(&digest)).body(()).unwrap();
        answers.push(cache.send(request).await);
    }
    let mut readers = tokio::task::JoinSet::new();
    for (number, mut answer) in answers.into_iter().enumerate() {
        readers.spawn(async move {
            if number % 3 == 0 {
                // Leaves after the first frame, or before it.
                if number % 2 == 0 {
                    answer.body_mut().frame().await;
                }
                return None;
            }
            Some(Answer::read(answer).await)
        });
    }
    gate.open();
    let mut complete = 0;
    for answer in readers.join_all().await.into_iter().flatten() {
        assert_eq!(*answer.bytes(), content.bytes());
        complete += 1;
    }
    assert_eq!(complete, 42);
    assert_eq!(upstream_ranges(&cache), ["GET"]);
    let joined = cache
        .outcomes()
        .iter()
        .filter(|it| **it == Outcome::Joined)
        .count();
    assert_eq!(joined, 63);
}

#[tokio::test]
async fn ca4_nobody_gets_the_whole_of_wrong_bytes_and_nothing_is_stored() {
    for size in [1000, 64 * 1024 + 1, 300_000] {
        let content = random(size);
        let (cache, digest) = with_blob(&content);
        cache.misbehave(Rule::on(Part::Blob, Misbehaviour::Corrupt(size / 2)));
        let answer = cache.get(&blob(&digest)).await;
        if answer.status == StatusCode::OK {
            let had = answer.body.unwrap_err();
            assert!(
                had.len() as u64 + 64 * 1024 <= size,
                "{size}: {}",
                had.len()
            );
        } else {
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_GATEWAY, "UNAVAILABLE".into())
            );
        }
        cache.settle().await;
        assert_eq!(
            cache.service.shared.known.store().size(&digest),
            None,
            "{size}"
        );
        cache.registry.behave();
        assert_eq!(
            *cache.get(&blob(&digest)).await.bytes(),
            content.bytes(),
            "{size}"
        );
    }
}

#[tokio::test]
async fn a_damaged_blob_is_fetched_again() {
    let content = random(300_000);
    let digest = digest_of(&content);
    let directory = tempfile::tempdir().unwrap();
    let store =
        longshore_store::FsStore::open_sharded(directory.path(), longshore_store::Durability::None);
    let store = BoundedStore::open(Arc::new(store.unwrap()), 1 << 30).unwrap();
    let cache = cache_with(Setup::new().store(store.clone()), &digest, &content);
    cache.get(&blob(&digest)).await;
    cache.settle().await;
    let hex = digest.as_str().strip_prefix("sha256:").unwrap();
    let file = directory
        .path()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    std::fs::write(&file, b"short").unwrap();
    cache.outcomes();
    upstream_ranges(&cache);
    assert_eq!(*cache.get(&blob(&digest)).await.bytes(), content.bytes());
    assert_eq!(cache.outcomes(), [Outcome::Miss(MissReason::Damaged)]);
    cache.settle().await;
    // Its size is right but its content is not. Only a scrub finds this.
    store.quarantine(&digest);
    assert_eq!(*cache.get(&blob(&digest)).await.bytes(), content.bytes());
    assert_eq!(upstream_ranges(&cache), ["GET", "GET"]);
}

#[tokio::test]
async fn a_blob_without_a_size_is_answered_when_it_is_complete() {
    let content = random(300_000);
    let (cache, digest) = with_blob(&content);
    cache.misbehave(Rule::on(Part::Blob, Misbehaviour::NoLength));
    for path in [blob(&digest), blob(&digest)] {
        let answer = cache.get(&path).await;
        assert_eq!(*answer.bytes(), content.bytes());
        assert_eq!(answer.header("content-length"), Some("300000"));
    }
}
