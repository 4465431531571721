use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_model::Digest;

use super::*;
use crate::image;
use crate::testing::{Reply, get, get_with, request};
use crate::{BlobContent, Valve};

fn registry() -> (Registry, Tree) {
    let tree = image::single(1);
    (
        Registry::builder()
            .image("a/b", "1", &tree)
            .start()
            .unwrap(),
        tree,
    )
}

fn manifest(registry: &Registry) -> String {
    format!("{}/v2/a/b/manifests/1", registry.url())
}

fn layer(registry: &Registry, tree: &Tree) -> String {
    format!(
        "{}/v2/a/b/blobs/{}",
        registry.url(),
        tree.blobs()[1].descriptor.digest
    )
}

fn code(reply: &Reply) -> String {
    reply.json()["errors"][0]["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn it_serves_what_it_holds() {
    let (registry, tree) = registry();
    let reply = get(&manifest(&registry));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body.as_bytes(), tree.document());
    assert_eq!(
        reply.header("content-type"),
        Some(tree.media_type().as_str())
    );
    assert_eq!(
        reply.header("docker-content-digest"),
        Some(tree.digest().as_str())
    );
    let by_digest =
        get(&manifest(&registry).replace("manifests/1", &format!("manifests/{}", tree.digest())));
    assert_eq!(by_digest.body, reply.body);
    let head = request("HEAD", &manifest(&registry), &[]);
    assert_eq!(
        head.header("content-length"),
        reply.header("content-length")
    );
    assert_eq!(head.body, "");
    let absent = request("HEAD", &format!("{}0", manifest(&registry)), &[]);
    assert_eq!((absent.status, absent.body.as_str()), (404, ""));
    for blob in tree.blobs() {
        let reply = get(&format!(
            "{}/v2/a/b/blobs/{}",
            registry.url(),
            blob.descriptor.digest
        ));
        assert_eq!(reply.body.chars().count() as u64, blob.descriptor.size);
    }
    assert_eq!(get(&format!("{}/v2/", registry.url())).status, 200);
    let counts = [Part::Manifest, Part::Blob, Part::Ping, Part::Other]
        .map(|part| registry.requests_to(part).len());
    assert_eq!(counts, [4, 4, 1, 0]);
}

#[test]
fn what_it_lacks_it_refuses_by_name() {
    let (registry, tree) = registry();
    let absent = Digest::sha256(b"absent");
    for (target, status, expected) in [
        ("/v2/a/b/manifests/2".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/b/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        (
            format!("/v2/other/blobs/{}", tree.blobs()[0].descriptor.digest),
            404,
            "BLOB_UNKNOWN",
        ),
        ("/v2/A/manifests/1".to_owned(), 400, "NAME_INVALID"),
    ] {
        let reply = get(&format!("{}{target}", registry.url()));
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            (status, expected),
            "{target}"
        );
    }
}

#[test]
fn a_write_is_refused_with_what_can_be_read() {
    let (registry, _) = registry();
    let uploads = format!("{}/v2/a/b/blobs/uploads/", registry.url());
    let typed = [("content-type", "application/vnd.oci.image.manifest.v1+json")];
    for (method, url, headers, allow) in [
        ("POST", manifest(&registry), &[][..], "GET, HEAD"),
        ("PUT", manifest(&registry), &typed, "GET, HEAD"),
        ("DELETE", manifest(&registry), &[], "GET, HEAD"),
        ("POST", uploads, &[], ""),
    ] {
        let reply = request(method, &url, headers);
        assert_eq!((reply.status, code(&reply).as_str()), (405, "UNSUPPORTED"));
        assert_eq!(reply.header("allow"), Some(allow), "{method} {url}");
    }
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let (registry, tree) = registry();
    for url in [manifest(&registry), layer(&registry, &tree)] {
        let etag = get(&url).header("etag").unwrap().to_owned();
        let reply = get_with(&url, &[("if-none-match", &etag)]);
        assert_eq!((reply.status, reply.body.as_str()), (304, ""), "{url}");
        assert_eq!(reply.header("etag"), Some(etag.as_str()));
        assert_eq!(get_with(&url, &[("if-none-match", "\"x\"")]).status, 200);
    }
    let etag = get(&layer(&registry, &tree))
        .header("etag")
        .unwrap()
        .to_owned();
    for (if_range, status) in [(etag.as_str(), 206), ("\"x\"", 200)] {
        let fields = [("range", "bytes=1-"), ("if-range", if_range)];
        assert_eq!(get_with(&layer(&registry, &tree), &fields).status, status);
    }
}

#[test]
fn ranges_are_served_as_the_rfc_says() {
    let (registry, tree) = registry();
    let whole = tree.blobs()[1].content.bytes();
    let total = whole.len();
    for (range, status, from, to) in [
        ("bytes=0-", 206, 0, total),
        ("bytes=5-9", 206, 5, 10),
        ("bytes=-7", 206, total - 7, total),
        ("bytes=1-2,x", 200, 0, total),
        ("bytes=1-2,999999-", 206, 1, 3),
        ("bytes=999999-", 416, 0, 0),
    ] {
        let reply = get_with(&layer(&registry, &tree), &[("range", range)]);
        assert_eq!(reply.status, status, "{range}");
        let sent: Vec<u8> = reply.body.chars().map(|c| c as u8).collect();
        assert_eq!(sent, whole[from..to], "{range}");
    }
    assert_eq!(
        registry.requests().all()[0].header("range"),
        Some("bytes=0-")
    );
}

#[test]
fn several_ranges_are_served_as_parts() {
    let (registry, tree) = registry();
    let whole = tree.blobs()[1].content.bytes();
    let url = layer(&registry, &tree);
    let reply = get_with(&url, &[("range", "bytes=-7,1-2")]);
    assert_eq!(reply.status, 206);
    let media_type = reply.header("content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=");
    let end = format!("--{}--\r\n", boundary.unwrap());
    let sent: Vec<u8> = reply.body.chars().map(|c| c as u8).collect();
    assert!(sent.ends_with(end.as_bytes()));
    assert_eq!(
        reply.header("content-length"),
        Some(&*sent.len().to_string())
    );
    let heads = format!("Content-Range: bytes 1-2/{}\r\n\r\n", whole.len());
    let at = reply.body.find(&heads).unwrap() + heads.len();
    assert_eq!(
        &reply.body[at..at + 2]
            .chars()
            .map(|c| c as u8)
            .collect::<Vec<_>>(),
        &whole[1..3]
    );
    assert_eq!(get_with(&url, &[("range", "bytes=0-1,1-2")]).status, 400);
}

#[test]
fn basic_is_demanded_of_every_request() {
    let tree = image::single(1);
    let registry = Registry::builder()
        .image("a/b", "1", &tree)
        .basic("u", "p:w")
        .start()
        .unwrap();
    let reply = get(&manifest(&registry));
    assert_eq!((reply.status, code(&reply).as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(
        reply.header("www-authenticate"),
        Some("Basic realm=\"testkit\"")
    );
    for (pair, status) in [("u:p:w", 200), ("u:wrong", 401)] {
        let value = format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(
            get_with(&manifest(&registry), &[("authorization", &value)]).status,
            status
        );
    }
    assert!(registry.requests().hold("p:w"));
}

#[test]
fn a_token_opens_the_repository_it_names_until_revoked() {
    let tokens = TokenServer::builder().start().unwrap();
    let tree = image::single(1);
    let registry = Registry::builder()
        .image("a/b", "1", &tree)
        .image("c", "1", &tree)
        .bearer(&tokens)
        .start()
        .unwrap();
    let refused = get(&manifest(&registry));
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"longshore-testkit\",scope=\"repository:a/b:pull\"",
        tokens.realm()
    );
    assert_eq!(refused.header("www-authenticate"), Some(challenge.as_str()));
    let bearer = || {
        let reply = get(&format!("{}?scope=repository:a/b:pull", tokens.realm()));
        format!("Bearer {}", reply.json()["token"].as_str().unwrap())
    };
    let token = bearer();
    let with = |token: &str, url: &str| get_with(url, &[("authorization", token)]);
    assert_eq!(with(&token, &manifest(&registry)).status, 200);
    let other = with(&token, &format!("{}/v2/c/manifests/1", registry.url()));
    assert!(
        other
            .header("www-authenticate")
            .unwrap()
            .ends_with("error=\"insufficient_scope\"")
    );
    registry.revoke_tokens();
    let late = with(&token, &manifest(&registry));
    assert!(
        late.header("www-authenticate")
            .unwrap()
            .ends_with("error=\"invalid_token\"")
    );
    assert_eq!(with(&bearer(), &manifest(&registry)).status, 200);
}

#[test]
fn challenges_can_be_anything() {
    let registry = Registry::builder()
        .basic("u", "p")
        .challenges(&["A", "B c=d"])
        .start()
        .unwrap();
    let head = get(&manifest(&registry)).head;
    assert_eq!(head.matches("www-authenticate: ").count(), 2, "{head}");
}

/// What one misbehaviour makes of a manifest.
#[track_caller]
fn misled(what: Misbehaviour) -> Reply {
    let (registry, _) = registry();
    registry.misbehave(Rule::on(Part::Manifest, what));
    get(&manifest(&registry))
}

#[test]
fn each_misbehaviour_is_the_one_named() {
    let document = image::single(1).document();
    let length = document.len();
    let wrong = Digest::sha256(b"wrong");
    assert_eq!(
        misled(Misbehaviour::NoDigestHeader).header("docker-content-digest"),
        None
    );
    let reply = misled(Misbehaviour::DigestHeader(wrong.clone()));
    assert_eq!(reply.header("docker-content-digest"), Some(wrong.as_str()));
    assert_eq!(
        misled(Misbehaviour::CutAfter(10)).body.as_bytes(),
        &document[..10]
    );
    let reply = misled(Misbehaviour::Corrupt(3));
    assert_ne!(reply.body.as_bytes(), document);
    assert_eq!(reply.body.len(), length);
    let reply = misled(Misbehaviour::Gzip);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert!(reply.body.starts_with("\u{1f}\u{8b}"));
    assert_eq!(misled(Misbehaviour::HangUp).status, 0);
    let reply = misled(Misbehaviour::NoLength);
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert_eq!(
        misled(Misbehaviour::ContentType("text/plain".into())).header("content-type"),
        Some("text/plain")
    );
    let reply = misled(Misbehaviour::RetryAfter(
        StatusCode::TOO_MANY_REQUESTS,
        "7".into(),
    ));
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(
        misled(Misbehaviour::Body(BlobContent::repeated("ab", 5))).body,
        "ababa"
    );
    let reply = misled(Misbehaviour::Headers(100, 7));
    assert_eq!(
        (reply.header("0"), reply.header("99")),
        (Some("xxxxxxx"), Some("xxxxxxx"))
    );
    let reply = misled(Misbehaviour::NextPage("/next?n={n}".into()));
    assert_eq!(reply.header("link"), Some("</next?n=0>; rel=\"next\""));
    let reply = misled(Misbehaviour::Redirect(
        "http://127.0.0.2:9{path}?s=1".into(),
    ));
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, Some("http://127.0.0.2:9/v2/a/b/manifests/1?s=1"))
    );
}

#[test]
fn a_length_can_be_a_lie_in_either_direction() {
    let document = image::single(1).document();
    let (length, claims) = (document.len() as u64, |reply: &Reply| {
        reply
            .header("content-length")
            .unwrap()
            .parse::<u64>()
            .unwrap()
    });
    let more = misled(Misbehaviour::Length(length + 9));
    assert_eq!(claims(&more), length + 9);
    assert_eq!(more.body.as_bytes(), document);
    let less = misled(Misbehaviour::Length(9));
    assert_eq!(claims(&less), 9);
    assert_eq!(less.body.as_bytes(), &document[..9]);
}

#[test]
fn interim_responses_come_before_the_answer() {
    let reply = misled(Misbehaviour::Interim(3));
    assert_eq!(reply.status, 103);
    let (interim, rest) = reply.body.rsplit_once("HTTP/1.1 ").unwrap();
    assert_eq!(interim.matches("103 Early Hints\r\n").count(), 2);
    assert!(rest.starts_with("200 OK\r\n"), "{rest}");
}

#[test]
fn a_valve_lets_as_much_pass_as_it_is_told_to() {
    let (registry, tree) = registry();
    let valve = Valve::new();
    let pace = Misbehaviour::Pace(valve.clone());
    registry.misbehave(Rule::on(Part::Blob, pace));
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    let path = layer(&registry, &tree).replace(&registry.url(), "");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    let content = tree.blobs()[1].content.bytes();
    let mut at = 0;
    for bytes in [1, 7, 100] {
        valve.let_pass(bytes as u64);
        let mut came = vec![0; bytes];
        stream.read_exact(&mut came).unwrap();
        assert_eq!(came, content[at..at + bytes]);
        at += bytes;
    }
    assert!(stream.buffer().is_empty(), "no more than that came");
    valve.open();
    let mut rest = vec![0; content.len() - at];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(rest, content[at..]);
}

#[test]
fn a_redirect_can_lead_to_another_place_each_time() {
    let (registry, _) = registry();
    let chain = Misbehaviour::Redirect("{path}?hop={n}".into());
    registry.misbehave(Rule::on(Part::Manifest, chain).times(2));
    let locations = [0, 1, 2].map(|_| {
        get(&manifest(&registry))
            .header("location")
            .map(str::to_owned)
    });
    assert_eq!(
        locations.map(|it| it.unwrap_or_default()),
        ["/v2/a/b/manifests/1?hop=0", "/v2/a/b/manifests/1?hop=1", ""]
    );
}

#[test]
fn a_range_can_be_ignored_or_mislabelled() {
    let (registry, tree) = registry();
    let fetch = || get_with(&layer(&registry, &tree), &[("range", "bytes=100-")]);
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::IgnoreRange).times(1));
    let reply = fetch();
    assert_eq!(
        (reply.status, reply.body.chars().count() as u64),
        (200, tree.blobs()[1].descriptor.size)
    );
    assert_eq!(reply.header("content-range"), None);
    registry.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::ContentRange("bytes 0-5/6".into()),
    ));
    let reply = fetch();
    assert_eq!(
        (reply.status, reply.header("content-range")),
        (206, Some("bytes 0-5/6"))
    );
    registry.behave();
    assert_eq!(
        fetch().header("content-range").unwrap().split('-').next(),
        Some("bytes 100")
    );
}

#[test]
fn a_rule_strikes_only_where_and_when_it_is_told() {
    let (registry, tree) = registry();
    let failure = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    registry.misbehave(Rule::on(Part::Manifest, failure.clone()).after(1).times(2));
    let statuses: Vec<_> = (0..4).map(|_| get(&manifest(&registry)).status).collect();
    assert_eq!(statuses, [200, 502, 502, 200]);
    registry.misbehave(Rule::always(failure).method(Method::HEAD).path("blobs"));
    assert_eq!(request("HEAD", &layer(&registry, &tree), &[]).status, 502);
    assert_eq!(get(&layer(&registry, &tree)).status, 200);
}

#[test]
fn rules_wait_for_authentication_unless_told() {
    let registry = Registry::builder().basic("u", "p").start().unwrap();
    let failure = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    registry.misbehave(Rule::always(failure.clone()).times(1));
    assert_eq!(get(&manifest(&registry)).status, 401);
    registry.misbehave(Rule::always(failure).before_authentication());
    assert_eq!(get(&manifest(&registry)).status, 502);
}

#[test]
fn lists_come_in_the_pages_asked_for() {
    let tree = image::single(1);
    let registry = Registry::builder()
        .image("a/b", "1", &tree)
        .image("a/b", "2", &tree)
        .image("c", "3", &tree)
        .start()
        .unwrap();
    let first = get(&format!("{}/v2/a/b/tags/list?n=1", registry.url()));
    assert_eq!(first.json()["tags"], serde_json::json!(["1"]));
    let link = first.header("link").unwrap();
    assert_eq!(link, "</v2/a/b/tags/list?n=1&last=1>; rel=\"next\"");
    let second = get(&format!("{}/v2/a/b/tags/list?n=1&last=1", registry.url()));
    assert_eq!(second.json()["tags"], serde_json::json!(["2"]));
    assert_eq!(second.header("link"), None);
    let names = get(&format!("{}/v2/_catalog", registry.url()));
    assert_eq!(
        names.json()["repositories"],
        serde_json::json!(["a/b", "c"])
    );
    let none = get(&format!("{}/v2/x/tags/list", registry.url()));
    assert_eq!((none.status, code(&none).as_str()), (404, "NAME_UNKNOWN"));
    assert_eq!(registry.requests_to(Part::List).len(), 4);
}

#[test]
fn what_refers_to_a_manifest_is_found_and_filtered() {
    let tree = image::single(1);
    let signature = image::attached(2, &tree);
    let contents = Contents::new();
    contents.add("a", "1", &tree);
    contents.attach("a", &signature);
    let registry = Registry::builder().contents(contents).start().unwrap();
    let url = format!("{}/v2/a/referrers/{}", registry.url(), tree.digest());
    let found = get(&url);
    assert_eq!(
        found.header("content-type"),
        Some("application/vnd.oci.image.index.v1+json")
    );
    let entry = &found.json()["manifests"][0];
    assert_eq!(entry["digest"], signature.digest().as_str());
    assert_eq!(entry["artifactType"], "application/vnd.longshore.testkit");
    let other = get(&format!("{url}?artifactType=text%2Fa"));
    assert_eq!(other.json()["manifests"], serde_json::json!([]));
    assert_eq!(other.header("oci-filters-applied"), Some("artifactType"));
}
