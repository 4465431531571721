//! Cases from other people's test suites, where the corpora lie beside the checkout.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a row of another shape is a failed test"
)]

use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, response};
use longshore_model::Digest;
use longshore_origin::{AddressClass, Origin, Peer, Scheme, resolve};
use longshore_proto::call::{Ask, Call, CallPolicy, Place, Step, Take};
use longshore_proto::endpoint::{
    BlobBody, Endpoint, ListAnswer, ManifestAnswer, ManifestStored, UploadAnswer, UploadRequest,
    UploadStep, ignored_digest,
};
use longshore_proto::error_code::ErrorBody;
use longshore_proto::listing::Listing;
use longshore_proto::range::ContentRange;
use longshore_proto::retry::Jitter;
use longshore_proto::{Host, link, route, warning};
use serde_json::{Value, json};

#[test]
fn every_link_of_the_corpus_is_read() {
    let Some(rows) = rows("link_headers.jsonl") else {
        return;
    };
    for row in &rows {
        let (input, expect) = (&row["input"], &row["expect"]);
        let fields = texts(&input["link"]);
        let found = link::next(fields.iter().map(String::as_bytes));
        assert_eq!(expect["valid"], found.is_ok(), "{fields:?}: {found:?}");
        let Ok(found) = found else { continue };
        let (origin, path) = split(input["request_url"].as_str().expect("an URL"));
        let next = found.map(|target| resolve((&origin, path), target).expect("a reference"));
        let url = next
            .as_ref()
            .map(|(origin, path)| format!("{origin}{path}"));
        assert_eq!(expect["next"], json!(url), "{fields:?}");
        if let Some((other, _)) = &next {
            assert_eq!(expect["same_origin"], *other == origin, "{fields:?}");
        }
        asks_at_home(&fields, next.map(|(_, path)| path));
    }
    assert_eq!(rows.len(), 34);
}

/// RD5: wherever a link leads, only its query is used, and none ends the list.
#[track_caller]
fn asks_at_home(fields: &[String], next: Option<String>) {
    let values = fields.iter().map(|field| (header::LINK, field.as_str()));
    let answer = ListAnswer::read(&head(200, values)).expect("a page");
    let mut listing = Listing::tags("app".parse().expect("a name"), None, None);
    let query = next.map(|path| path.split_once('?').map_or("", |(_, q)| q).to_owned());
    let goes_on = listing.on_page(&answer, ["1"]);
    match query {
        None => assert_eq!(goes_on, Ok(false), "{fields:?}"),
        // The first page again: a circle.
        Some(query) if query.is_empty() => assert!(goes_on.is_err(), "{fields:?}"),
        Some(query) => {
            assert_eq!(goes_on, Ok(true), "{fields:?}");
            let Endpoint::Tags(request) = listing.ask().endpoint else {
                panic!("{listing:?}");
            };
            assert_eq!(request.page.as_str(), query);
        }
    }
}

#[test]
fn every_answer_of_an_upload_in_the_corpus_is_read() {
    let Some(rows) = rows("upload_sessions.jsonl") else {
        return;
    };
    let mut seen = [0; 4];
    for row in &rows {
        let (input, expect) = (&row["input"], &row["expect"]);
        let step = input["step"].as_str().expect("a step");
        if step.starts_with("Location after POST") {
            check_session(input, expect);
            seen[0] += 1;
        } else if step.starts_with("Range in a 202") {
            let fields = input["range"].as_str().map(|range| (header::RANGE, range));
            let answer = UploadAnswer::read(&head(202, fields));
            let next = answer.received.map(|received| received.bytes(u64::MAX));
            assert_eq!(expect["next_offset"].as_u64(), next, "{input}");
            seen[1] += 1;
        } else if step.starts_with("OCI-Chunk-Min-Length") {
            let name = header::HeaderName::from_static("oci-chunk-min-length");
            let value = input["value"].as_str().expect("a value");
            let answer = UploadAnswer::read(&head(202, [(name, value)]));
            assert_eq!(expect["min_chunk"].as_u64(), answer.min_chunk, "{input}");
            seen[2] += 1;
        } else {
            // A server's reading of a chunk.
            let mut headers = HeaderMap::new();
            let range = input["content_range"].as_str().expect("a range");
            headers.insert(header::CONTENT_RANGE, range.parse().expect("a value"));
            let read = route::read(&Method::PATCH, "/v2/app/blobs/uploads/1", &headers);
            let malformed = ["a-100", "20-a", "20-1", "0-bar"].contains(&range);
            assert_eq!(read.is_err(), malformed, "{input}: {read:?}");
            seen[3] += 1;
        }
    }
    assert_eq!(seen, [15, 5, 3, 7]);
}

/// The request that follows the answer that opened a session.
#[track_caller]
fn check_session(input: &Value, expect: &Value) {
    let request_url = input["request_url"].as_str().expect("an URL");
    let (origin, _) = split(request_url);
    let location = input["location"].as_str();
    let place = session(&origin, request_url, location);
    let Some(place) = place else {
        assert!(expect["error"].is_string(), "{input}: {expect}");
        return;
    };
    let digest: Digest = input["digest"]
        .as_str()
        .expect("text")
        .parse()
        .expect("a digest");
    let step = UploadStep::Finish {
        session: None,
        digest,
        range: None,
    };
    let request = UploadRequest::new("foo/bar".parse().expect("a name"), step);
    let mut ask = Ask::new(Endpoint::Upload(request), Take::Nothing);
    ask.from = Some(place);
    let (_, step) = Call::start(
        ask,
        [Host::new(origin.clone())].into(),
        CallPolicy::default(),
    );
    let Step::Send(sending) = step else {
        panic!("{input}: {step:?}");
    };
    let wanted = expect["put_url"].as_str().expect("an URL");
    let (wanted_origin, wanted_path) = split(wanted);
    assert_eq!(sending.hop.origin(), &wanted_origin, "{input}");
    let found = sending
        .hop
        .path_and_query()
        .replace("digest=sha256:", "digest=sha256%3A");
    assert_eq!(found, wanted_path, "{input}");
    let is_home = *sending.hop.origin() == origin;
    assert_eq!(expect["same_origin"], is_home, "{input}");
}

/// The place of the session, by the `Location` of the answer.
fn session(origin: &Origin, request_url: &str, location: Option<&str>) -> Option<Place> {
    let (_, path) = split(request_url);
    let name = path.strip_prefix("/v2/")?.strip_suffix("/blobs/uploads/")?;
    let step = UploadStep::Start {
        digest: None,
        algorithm: None,
    };
    let request = UploadRequest::new(name.parse().ok()?, step);
    let ask = Ask::new(Endpoint::Upload(request), Take::Nothing);
    let (mut call, _) = Call::start(
        ask,
        [Host::new(origin.clone())].into(),
        CallPolicy::default(),
    );
    let fields = location.map(|location| (header::LOCATION, location));
    let head = head(202, fields);
    let peer = Peer::new(Some(AddressClass::Public), false);
    let _ = call.on_head(&head, peer, Jitter::default());
    let place = call.end().place?;
    let location = UploadAnswer::read(&head).location?;
    place.follow(location.as_bytes(), peer).ok()
}

#[test]
fn every_range_of_the_corpus_is_read() {
    let Some(rows) = rows("ranges.jsonl") else {
        return;
    };
    for row in &rows {
        let (input, expect) = (&row["input"], &row["expect"]);
        let value = input["value"].as_str().expect("a string");
        match input["kind"].as_str().expect("a string") {
            "response Content-Range" => check_content_range(value, expect),
            "request Range against the 10 bytes 0123456789" => {
                check_range(value, b"0123456789", expect);
            }
            "request Range against 3 bytes" => check_range(value, b"012", expect),
            kind => panic!("{kind}"),
        }
    }
    assert_eq!(rows.len(), 33);
}

fn check_content_range(value: &str, expect: &Value) {
    let found = match ContentRange::parse(value.as_bytes()) {
        None => json!({"valid": false}),
        Some(ContentRange::Unsatisfied { total }) => {
            json!({"valid": true, "unsatisfied": true, "total": total})
        }
        Some(ContentRange::Part { first, last, total }) => {
            json!({"valid": true, "first": first, "last": last, "total": total})
        }
    };
    assert_eq!(found, *expect, "{value}");
}

/// What a server that goes by these values answers to a `Range`.
fn check_range(value: &str, content: &[u8], expect: &Value) {
    let digest = Digest::sha256(content);
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, value.parse().expect("a header"));
    let path = format!("/v2/app/blobs/{digest}");
    let asked = route::read(&Method::GET, &path, &headers).expect("a request");
    let Endpoint::Blob(asked) = asked else {
        panic!("{asked:?}");
    };
    let answer = asked.answer(content.len() as u64).expect("an answer");
    let (head, bytes) = match answer.into_parts() {
        (head, BlobBody::Bytes(bytes)) => (head, bytes),
        (head, BlobBody::Multipart(parts)) => {
            assert_eq!(parts.ranges(), [0..2, 4..7], "{value}");
            (head, 0..0)
        }
    };
    let (status, headers) = (head.status, head.headers);
    let allowed = expect["status"].as_array().expect("statuses");
    assert!(
        allowed.contains(&json!(status.as_u16())),
        "{value}: {status}"
    );
    let at = |position| usize::try_from(position).expect("a position");
    let body = &content[at(bytes.start)..at(bytes.end)];
    if let Some(expected) = expect["body"].as_str() {
        assert_eq!(body, expected.as_bytes(), "{value}");
    }
    if let Some(expected) = expect["content_range"].as_str() {
        assert_eq!(headers[header::CONTENT_RANGE], expected, "{value}");
    }
}

#[test]
fn every_error_body_of_the_corpus_is_read() {
    let Some(rows) = rows("error_bodies.jsonl") else {
        return;
    };
    for row in &rows {
        let (body, expect) = (row["input"].as_str().expect("a string"), &row["expect"]);
        let found = ErrorBody::parse(body.as_bytes());
        assert_eq!(expect["parsed"], found.excerpt.is_none(), "{body}");
        if let Some(excerpt) = &found.excerpt {
            // The title of a web page.
            assert_eq!(excerpt, "401 Authorization Required", "{body}");
            assert!(found.entries.is_empty(), "{body}");
            continue;
        }
        let codes: Vec<_> = found.entries.iter().map(|e| e.code.as_str()).collect();
        assert_eq!(expect["codes"], json!(codes), "{body}");
        // One row says nothing about the message.
        if let Some(expected) = expect["messages"].as_array() {
            let messages = found.entries.iter().map(|e| json!(e.message));
            assert_eq!(*expected, messages.collect::<Vec<_>>(), "{body}");
        }
        // What was read can be written, and then says the same.
        assert_eq!(ErrorBody::parse(&found.to_bytes()), found, "{body}");
    }
    assert_eq!(rows.len(), 46);
}

/// Values of `Warning` that are shown although the corpus would not: once a field is read there
/// are no blanks around its value (RFC 9110 §5.5), and a list has them around its elements
/// (§5.6.1), so these are the very warning of the first row.
const SHOWN: [&str; 2] = [
    " 299 - \"This is a warning.\"",
    "299 - \"This is a warning.\" ",
];

#[test]
fn every_response_header_of_the_corpus_is_understood() {
    let Some(rows) = rows("response_headers.jsonl") else {
        return;
    };
    for row in &rows {
        let (value, expect) = (&row["input"]["value"], &row["expect"]);
        match row["input"]["header"].as_str().expect("a string") {
            "Warning" => check_warning(value, &expect["show"]),
            "Docker-Content-Digest" => check_content_digest(value, expect),
            "OCI-Subject" => check_subject(value, expect),
            "OCI-Filters-Applied" => {
                let head = head(200, value.as_str().map(|v| ("oci-filters-applied", v)));
                let filtered = ListAnswer::read(&head).expect("a page").filtered;
                assert_eq!(expect["filtered"], filtered, "{value}");
                // Whoever reads the list filters wherever the registry did not.
                let must = expect.get("client_must_filter") == Some(&json!(true));
                assert!(!must || !filtered, "{value}");
            }
            header => panic!("{header}"),
        }
    }
    assert_eq!(rows.len(), 21);
}

fn check_warning(value: &Value, show: &Value) {
    let fields = value.as_str().map(|text| vec![text.to_owned()]);
    let fields = fields.unwrap_or_else(|| texts(value));
    let head = head(200, fields.iter().map(|field| ("warning", field.as_str())));
    let found = warning::read(&head.headers);
    let expected = match show {
        _ if SHOWN.contains(&fields[0].as_str()) => vec!["This is a warning.".to_owned()],
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        _ => texts(show),
    };
    assert_eq!(found, expected, "{value}");
}

fn check_content_digest(value: &Value, expect: &Value) {
    let body = b"{}";
    let head = head(200, value.as_str().map(|v| ("docker-content-digest", v)));
    let answer = ManifestAnswer::read(&head).expect("an answer");
    let found = match &answer.digest {
        // DG2: what the corpus calls invalid or not verifiable is ignored.
        None if expect["ok"] != true => {
            let ignored = ignored_digest(&head.headers).map(|it| json!(str::from_utf8(it).ok()));
            assert_eq!(ignored.as_ref(), Some(value));
            return;
        }
        // Computed, where the registry says nothing.
        None => json!({"ok": true, "digest": Digest::sha256(body)}),
        Some(claimed) => {
            let actual = Digest::of(&claimed.algorithm(), body).expect("a digest");
            json!({"ok": actual == *claimed})
        }
    };
    assert_eq!(found, *expect, "{value}");
}

fn check_subject(value: &Value, expect: &Value) {
    let pushed = Digest::sha256(b"the subject that was pushed");
    let head = head(201, value.as_str().map(|v| ("oci-subject", v)));
    let found = ManifestStored::read(&head).and_then(|stored| stored.recorded(&pushed));
    let found = match found {
        Ok(true) => json!({}),
        Ok(false) => json!({"referrers_api": "unknown: update the fallback tag"}),
        Err(_) => json!({"error": "subject-mismatch"}),
    };
    assert_eq!(found, *expect, "{value}");
}

fn head<'a, N>(status: u16, fields: impl IntoIterator<Item = (N, &'a str)>) -> response::Parts
where
    N: header::IntoHeaderName,
{
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status).expect("a status");
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        parts.headers.append(name, value);
    }
    parts
}

fn split(url: &str) -> (Origin, &str) {
    let (scheme, rest) = url.split_once("://").expect("an URL");
    let (authority, _) = rest.split_once('/').expect("a path");
    let scheme = match scheme {
        "http" => Scheme::Http,
        _ => Scheme::Https,
    };
    let origin = Origin::from_authority(scheme, authority).expect("an origin");
    (origin, &rest[authority.len()..])
}

fn texts(value: &Value) -> Vec<String> {
    let values = value.as_array().expect("an array").iter();
    values
        .map(|v| v.as_str().expect("a string").to_owned())
        .collect()
}

/// The rows of a corpus file; `None`, and a line that says so, where there are none.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test has to find its data, and say loudly that it did not"
)]
fn rows(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("LONGSHORE_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
        PathBuf::from,
    );
    let path = folder.join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no corpus at {}", path.display());
        return None;
    };
    let rows = text.lines().map(serde_json::from_str);
    Some(rows.collect::<Result<_, _>>().expect("JSON lines"))
}
