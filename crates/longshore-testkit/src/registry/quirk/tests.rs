use std::net::TcpStream;

use longshore_model::MediaType;

use super::*;
use crate::content::mix;
use crate::image::{self, Tree};
use crate::registry::{Misbehaviour, Part, Registry, Rule};
use crate::testing::{Reply, converse, get, get_with, request, send, send_part};
use crate::token::TokenServer;
use crate::{Gate, ScriptedResponse, Valve};

/// A writable registry with one switch set.
fn quirky(set: impl FnOnce(&mut Quirks)) -> Registry {
    let mut quirks = Quirks::default();
    set(&mut quirks);
    Registry::builder()
        .writable()
        .quirks(quirks)
        .start()
        .unwrap()
}

fn uploads(registry: &Registry, query: &str) -> String {
    format!("{}/v2/app/blobs/uploads/{query}", registry.url())
}

/// The URL of the session, by the `Location` of the answer.
fn session(registry: &Registry, reply: &Reply) -> String {
    let location = reply.header("location").unwrap();
    match location.as_bytes() {
        [b'h', ..] => location.to_owned(),
        [b'/', ..] => format!("{}{location}", registry.url()),
        _ => uploads(registry, location),
    }
}

fn open(registry: &Registry) -> String {
    let reply = request("POST", &uploads(registry, ""), &[]);
    assert_eq!(reply.status, 202);
    session(registry, &reply)
}

fn with(location: &str, query: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}{query}")
}

fn finish(location: &str, whole: &str, body: &str) -> Reply {
    let digest = Digest::sha256(whole.as_bytes());
    let url = with(location, &format!("digest={digest}"));
    send("PUT", &url, &[], body)
}

fn patch(location: &str, range: &str, body: &str) -> Reply {
    send("PATCH", location, &[("content-range", range)], body)
}

fn stored(registry: &Registry, whole: &str) -> Reply {
    let digest = Digest::sha256(whole.as_bytes());
    get(&format!("{}/v2/app/blobs/{digest}", registry.url()))
}

fn code(reply: &Reply) -> String {
    let code = &reply.json()["errors"][0]["code"];
    code.as_str().unwrap().to_owned()
}

fn said(reply: &Reply) -> (u16, String) {
    (reply.status, code(reply))
}

/// The status and the `Range` of an answer.
fn progress(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.header("range"))
}

fn push_whole(registry: &Registry, whole: &str) -> Reply {
    let digest = Digest::sha256(whole.as_bytes());
    let url = uploads(registry, &format!("?digest={digest}"));
    send("POST", &url, &[], whole)
}

fn put_manifest(registry: &Registry, target: &str, tree: &Tree) -> Reply {
    let document = String::from_utf8(tree.document().to_vec()).unwrap();
    put_document(registry, target, tree.media_type(), &document)
}

fn put_document(registry: &Registry, target: &str, kind: &MediaType, text: &str) -> Reply {
    let url = format!("{}/v2/app/manifests/{target}", registry.url());
    send("PUT", &url, &[("content-type", kind.as_str())], text)
}

/// Adds the blobs of an image to the registry, but not its manifest.
fn hold_blobs(registry: &Registry, tree: &Tree) {
    for blob in tree.blobs() {
        let digest = &blob.descriptor.digest;
        let content = blob.content.clone();
        registry.contents().set_blob("app", digest, content);
    }
}

/// The URL of a manifest that does not exist.
fn absent(registry: &Registry) -> String {
    format!("{}/v2/app/manifests/absent", registry.url())
}

#[test]
fn long_bodies_and_chunks_are_refused() {
    let limited = quirky(|quirks| quirks.body_max_bytes = Some(4));
    assert_eq!(push_whole(&limited, "12345").status, 413);
    assert_eq!(push_whole(&limited, "1234").status, 201);
    let unannounced = concat!(
        "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: r\r\nconnection: close\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"
    );
    let connect = |registry: &Registry| TcpStream::connect(registry.address()).unwrap();
    assert_eq!(converse(connect(&limited), unannounced, false).status, 413);
    let lengths = quirky(|quirks| quirks.length_required = true);
    assert_eq!(converse(connect(&lengths), unannounced, false).status, 411);
    assert_eq!(push_whole(&lengths, "12345").status, 201);

    let chunks = quirky(|quirks| quirks.chunk_max_bytes = Some(4));
    let at = open(&chunks);
    assert_eq!(
        progress(&patch(&at, "0-4", "12345")),
        (416, Some("0-0")),
        "with a range"
    );
    assert_eq!(progress(&send("PATCH", &at, &[], "12345")).0, 202);
}

#[test]
fn a_short_chunk_must_be_the_last() {
    let registry = quirky(|quirks| quirks.chunk_min_bytes = Some(3));
    let reply = request("POST", &uploads(&registry, ""), &[]);
    assert_eq!(reply.header("oci-chunk-min-length"), Some("3"));
    let at = session(&registry, &reply);
    assert_eq!(patch(&at, "0-2", "abc").status, 202);
    assert_eq!(patch(&at, "3-3", "d").status, 202);
    assert_eq!(
        said(&patch(&at, "4-4", "e")),
        (400, "SIZE_INVALID".to_owned())
    );
    assert_eq!(finish(&at, "abcd", "").status, 201);
}

#[test]
fn only_the_last_chunk_is_kept() {
    let registry = quirky(|quirks| quirks.chunks = Chunks::LastKept);
    let at = open(&registry);
    assert_eq!(progress(&patch(&at, "0-2", "abc")), (202, Some("0-2")));
    assert_eq!(progress(&patch(&at, "3-4", "de")), (202, Some("0-4")));
    assert_eq!(finish(&at, "abcde", "").status, 201);
    assert_eq!(stored(&registry, "abcde").body, "de");
    assert_eq!(finish(&open(&registry), "whole", "whole").status, 201);
    assert_eq!(stored(&registry, "whole").body, "whole");
}

#[test]
fn chunks_are_refused() {
    let registry = quirky(|quirks| quirks.chunks = Chunks::Refused);
    let at = open(&registry);
    assert_eq!(
        said(&patch(&at, "0-2", "abc")),
        (405, "UNSUPPORTED".to_owned())
    );
    assert_eq!(finish(&at, "abc", "abc").status, 201);
}

#[test]
fn a_chunk_is_accepted_with_another_status() {
    for status in [200, 201, 204] {
        let status = StatusCode::from_u16(status).unwrap();
        let registry = quirky(|quirks| quirks.patch_status = status);
        let at = open(&registry);
        assert_eq!(patch(&at, "0-2", "abc").status, status);
        assert_eq!(finish(&at, "abc", "").status, 201);
    }
}

#[test]
fn the_range_counts_the_blob_the_chunk_or_the_first_chunk() {
    for (form, expected) in [
        (RangeForm::Blob, [Some("0-2"), Some("0-4")]),
        (RangeForm::Chunk, [Some("0-2"), Some("0-1")]),
        (RangeForm::FirstChunk, [Some("0-2"), Some("0-2")]),
        (RangeForm::Missing, [None, None]),
    ] {
        let registry = quirky(|quirks| quirks.range = form);
        let at = open(&registry);
        let replies = [patch(&at, "0-2", "abc"), patch(&at, "3-4", "de")];
        let ranges = replies.each_ref().map(|reply| reply.header("range"));
        assert_eq!(ranges, expected, "{form:?}");
        assert_eq!(finish(&at, "abcde", "").status, 201);
    }
}

#[test]
fn a_session_has_no_state_to_ask_for() {
    let registry = quirky(|quirks| quirks.no_status = true);
    let at = open(&registry);
    assert_eq!(said(&get(&at)), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    assert_eq!(finish(&at, "abc", "abc").status, 201);
}

#[test]
fn a_session_is_named_in_every_form() {
    for (form, beginning) in [
        (LocationForm::Absolute, "http://127.0.0.1:"),
        (LocationForm::Http, "http://127.0.0.1:"),
        (LocationForm::Path, "/v2/app/blobs/uploads/session-1"),
        (LocationForm::Relative, "session-1"),
    ] {
        for query in [
            LocationQuery::None,
            LocationQuery::Plain,
            LocationQuery::Signed,
        ] {
            let registry = quirky(|quirks| {
                quirks.location = form;
                quirks.location_query = query;
            });
            let reply = request("POST", &uploads(&registry, ""), &[]);
            let location = reply.header("location").unwrap();
            assert!(location.starts_with(beginning), "{form:?}: {location}");
            assert_eq!(location.contains('?'), query != LocationQuery::None);
            let at = session(&registry, &reply);
            assert_eq!(patch(&at, "0-2", "abc").status, 202);
            assert_eq!(finish(&at, "abc", "").status, 201);
        }
    }
}

#[test]
fn a_changed_query_loses_the_session() {
    let registry = quirky(|quirks| quirks.location_query = LocationQuery::Signed);
    let at = open(&registry);
    let decoded = at.replace("%2F", "/");
    for wrong in [decoded.as_str(), at.split('?').next().unwrap()] {
        assert_ne!(wrong, at);
        assert_eq!(patch(wrong, "0-2", "abc").status, 404, "{wrong}");
    }
    assert_eq!(finish(&at, "abc", "abc").status, 201);
}

#[test]
fn only_the_latest_location_continues_a_session() {
    let registry = quirky(|quirks| quirks.latest_location_only = true);
    let at = open(&registry);
    let first = patch(&at, "0-2", "abc");
    let latest = session(&registry, &first);
    assert_ne!(latest, at);
    assert_eq!(patch(&latest, "3-3", "d").status, 202);
    assert_eq!(
        said(&patch(&latest, "4-4", "e")),
        (404, "BLOB_UPLOAD_INVALID".to_owned())
    );
    assert_eq!(get(&at).status, 404);
}

#[test]
fn a_session_keeps_what_arrived_of_a_broken_body() {
    let registry = quirky(|_| {});
    let at = open(&registry);
    let fields = [("content-range", "0-9")];
    let broken = send_part("PATCH", &at, &fields, "abc", 10);
    assert_eq!(broken.status, 0, "there is no answer");
    assert_eq!(progress(&get(&at)), (204, Some("0-2")));
    let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(2));
    registry.misbehave(cut.times(1));
    assert_eq!(patch(&at, "3-6", "defg").status, 0);
    assert_eq!(progress(&get(&at)), (204, Some("0-4")));
    let last = registry.requests().all();
    let cut = &last[last.len() - 2];
    assert_eq!((cut.body.as_ref(), cut.complete), (&b"de"[..], false));
    assert_eq!(finish(&at, "abcdefg", "fg").status, 201);
    assert_eq!(stored(&registry, "abcdefg").body, "abcdefg");
}

#[test]
fn half_of_the_last_request_commits_nothing() {
    let registry = quirky(|_| {});
    let at = open(&registry);
    let url = with(&at, &format!("digest={}", Digest::sha256(b"abc")));
    assert_eq!(send_part("PUT", &url, &[], "abc", 10).status, 0);
    assert_eq!(stored(&registry, "abc").status, 404);
    assert_eq!(progress(&get(&at)), (204, Some("0-2")));
    assert_eq!(finish(&at, "abc", "").status, 201);
}

#[test]
fn a_broken_chunk_ends_the_session() {
    let registry = quirky(|quirks| quirks.broken_chunk_ends_session = true);
    let at = open(&registry);
    assert_eq!(send_part("PATCH", &at, &[], "abc", 10).status, 0);
    assert_eq!(get(&at).status, 404);
    let at = open(&registry);
    assert_eq!(patch(&at, "4-4", "e").status, 416);
    assert_eq!(get(&at).status, 404);
}

#[test]
fn what_arrived_before_a_stall_is_in_the_session() {
    let registry = quirky(|_| {});
    let at = open(&registry);
    let gate = Gate::new();
    let stall = Misbehaviour::StallRequestAfter(2, gate.clone());
    registry.misbehave(Rule::on(Part::Upload, stall).times(1));
    let stalled = std::thread::scope(|scope| {
        // The pieces are sent separately, because the server reads everything that has arrived.
        let stalled =
            scope.spawn(|| send_part("PATCH", &at, &[("content-range", "0-9")], "ab", 10));
        while !gate.is_reached() {
            std::thread::yield_now();
        }
        assert_eq!(progress(&get(&at)), (204, Some("0-1")));
        assert_eq!(patch(&at, "2-2", "c").status, 202);
        gate.open();
        stalled.join().unwrap()
    });
    assert_eq!(stalled.status, 0);
    assert_eq!(finish(&at, "abc", "").status, 201);
}

#[test]
fn a_mount_is_answered_in_every_form() {
    let digest = Digest::sha256(b"shared");
    let from = format!("?mount={digest}&from=base");
    let anonymous = format!("?mount={digest}");
    let refused = MountForm::Refused(StatusCode::FORBIDDEN);
    for (form, with_from, without) in [
        (MountForm::Anonymous, 201, 201),
        (MountForm::From, 201, 202),
        (MountForm::FromRequired, 201, 400),
        (refused, 403, 403),
        (MountForm::Session, 202, 202),
    ] {
        for (query, status) in [(&from, with_from), (&anonymous, without)] {
            let registry = quirky(|quirks| quirks.mount = form);
            registry.contents().set_blob("base", &digest, "shared");
            let reply = request("POST", &uploads(&registry, query), &[]);
            assert_eq!(reply.status, status, "{form:?} {query}");
            let body = stored(&registry, "shared");
            assert_eq!(body.status, if status == 201 { 200 } else { 404 });
            if status == 202 {
                let at = session(&registry, &reply);
                assert_eq!(finish(&at, "shared", "shared").status, 201);
            }
        }
    }
}

#[test]
fn some_blobs_are_refused_or_stored_in_part() {
    let refusing = quirky(|quirks| quirks.empty_blob_refused = true);
    assert_eq!(push_whole(&refusing, "").status, 400);
    let short = quirky(|quirks| quirks.stored_max_bytes = Some(3));
    assert_eq!(push_whole(&short, "abcde").status, 201);
    assert_eq!(stored(&short, "abcde").body, "abc");
    let digest = Digest::sha256(b"abcde");
    let head = request(
        "HEAD",
        &format!("{}/v2/app/blobs/{digest}", short.url()),
        &[],
    );
    assert_eq!(head.header("content-length"), Some("3"));
}

#[test]
fn a_push_beyond_the_quota_is_refused() {
    for status in [StatusCode::FORBIDDEN, StatusCode::INSUFFICIENT_STORAGE] {
        let registry = quirky(|quirks| quirks.quota = Some(Quota::new(5, status)));
        assert_eq!(push_whole(&registry, "123").status, 201);
        let refused = push_whole(&registry, "456");
        assert_eq!(said(&refused), (status.as_u16(), "DENIED".to_owned()));
        assert_eq!(push_whole(&registry, "45").status, 201);
    }
}

#[test]
fn a_repository_must_exist() {
    let registry = quirky(|quirks| quirks.repository_must_exist = true);
    let refused = request("POST", &uploads(&registry, ""), &[]);
    assert_eq!(said(&refused), (404, "NAME_UNKNOWN".to_owned()));
    let tree = image::single(1);
    let refused = put_manifest(&registry, "1", &tree);
    assert_eq!(said(&refused), (404, "NAME_UNKNOWN".to_owned()));
    registry.contents().create("app");
    assert_eq!(push_whole(&registry, "abc").status, 201);
}

#[test]
fn a_session_is_for_the_algorithm_that_it_was_opened_for() {
    for algorithm in ["sha512", "sha384"] {
        let digest = Digest::of(&algorithm.parse().unwrap(), b"abc").unwrap();
        let query = format!("?digest-algorithm={algorithm}");
        let registry = quirky(|_| {});
        let reply = request("POST", &uploads(&registry, &query), &[]);
        let at = session(&registry, &reply);
        let done = send("PUT", &with(&at, &format!("digest={digest}")), &[], "abc");
        assert_eq!(done.status, 201);
        assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
        let url = format!("{}/v2/app/blobs/{digest}", registry.url());
        assert_eq!(get(&url).body, "abc");
        let reply = request("POST", &uploads(&registry, &query), &[]);
        let wrong = finish(&session(&registry, &reply), "abc", "abc");
        assert_eq!(said(&wrong), (400, "DIGEST_INVALID".to_owned()));

        let old = quirky(|quirks| quirks.sha256_only = true);
        assert_eq!(request("POST", &uploads(&old, &query), &[]).status, 400);
        let at = with(&open(&old), &format!("digest={digest}"));
        assert_eq!(send("PUT", &at, &[], "abc").status, 400);
    }
    let registry = quirky(|_| {});
    let query = "?digest-algorithm=md5";
    assert_eq!(request("POST", &uploads(&registry, query), &[]).status, 400);
}

#[test]
fn a_tag_stays_where_it_is() {
    for (immutable, status) in [
        (ImmutableTags::bad_request(), 400),
        (ImmutableTags::conflict(), 409),
        (ImmutableTags::precondition(), 412),
    ] {
        let expected = immutable.code.clone();
        let registry = quirky(|quirks| quirks.immutable_tags = Some(immutable));
        let trees = [image::single(1), image::single(2)];
        trees.iter().for_each(|tree| hold_blobs(&registry, tree));
        assert_eq!(put_manifest(&registry, "1", &trees[0]).status, 201);
        assert_eq!(put_manifest(&registry, "1", &trees[0]).status, 201);
        let moved = put_manifest(&registry, "1", &trees[1]);
        assert_eq!(said(&moved), (status, expected));
        assert_eq!(put_manifest(&registry, "2", &trees[1]).status, 201);
        let tagged = get(&format!("{}/v2/app/manifests/1", registry.url()));
        assert_eq!(tagged.body.as_bytes(), trees[0].document());
    }
}

#[test]
fn a_manifest_has_a_media_type() {
    let text = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (required, status) in [(true, 400), (false, 201)] {
        let registry = quirky(|quirks| quirks.media_type_required = required);
        let reply = put_document(&registry, "1", &MediaType::OCI_INDEX, text);
        assert_eq!(reply.status, status);
    }
}

#[test]
fn missing_content_is_accepted_or_refused() {
    let tree = image::single(1);
    let index = image::index_of(vec![image::single(2)]);
    for (missing, status) in [
        (MissingContent::Accepted, 201),
        (MissingContent::Refused, 404),
    ] {
        let blobs = quirky(|quirks| quirks.missing_blobs = missing);
        assert_eq!(put_manifest(&blobs, "1", &tree).status, status);
        assert_eq!(put_manifest(&blobs, "1", &index).status, 404);
        let sparse = quirky(|quirks| quirks.sparse_index = missing);
        assert_eq!(put_manifest(&sparse, "1", &index).status, status);
        assert_eq!(put_manifest(&sparse, "1", &tree).status, 404);
    }
}

#[test]
fn one_request_sets_several_tags() {
    let tree = image::single(1);
    let target = format!("{}?tag=a&tag=b", tree.digest());
    for (ignored, expected, status) in [(false, &["a", "b"][..], 200), (true, &[], 404)] {
        let registry = quirky(|quirks| quirks.no_tag_parameter = ignored);
        hold_blobs(&registry, &tree);
        let reply = put_manifest(&registry, &target, &tree);
        assert_eq!(reply.status, 201);
        let named: Vec<_> = reply
            .head
            .lines()
            .filter_map(|line| line.strip_prefix("oci-tag: "))
            .collect();
        assert_eq!(named, expected);
        for tag in ["a", "b"] {
            let url = format!("{}/v2/app/manifests/{tag}", registry.url());
            assert_eq!(get(&url).status, status);
        }
    }
    let registry = quirky(|_| {});
    hold_blobs(&registry, &tree);
    let wrong = format!("{}?tag=-", tree.digest());
    assert_eq!(put_manifest(&registry, &wrong, &tree).status, 400);
}

#[test]
fn referrers_are_listed_promised_or_refused() {
    let subject = image::single(1);
    let referrer = image::attached(2, &subject);
    let refused = ReferrersForm::Refused(StatusCode::METHOD_NOT_ALLOWED);
    for (form, status, promised, listed) in [
        (ReferrersForm::Api, 201, true, 200),
        (refused, 405, false, 404),
        (ReferrersForm::SubjectOnly, 201, true, 404),
        (ReferrersForm::Unknown, 201, false, 404),
    ] {
        let registry = quirky(|quirks| quirks.referrers = form);
        hold_blobs(&registry, &referrer);
        let reply = put_manifest(&registry, referrer.digest().as_str(), &referrer);
        assert_eq!(reply.status, status, "{form:?}");
        let digest = subject.digest().as_str();
        assert_eq!(reply.header("oci-subject"), promised.then_some(digest));
        let url = format!("{}/v2/app/referrers/{digest}", registry.url());
        let list = get(&url);
        assert_eq!(list.status, listed, "{form:?}");
        if listed == 200 {
            let found = &list.json()["manifests"][0]["digest"];
            assert_eq!(found, referrer.digest().as_str());
        }
    }
}

#[test]
fn deletions_are_refused_by_kind() {
    type Switch = fn(&mut Quirks);
    let kinds: [Switch; 3] = [
        |quirks| quirks.no_tag_delete = true,
        |quirks| quirks.no_manifest_delete = true,
        |quirks| quirks.no_blob_delete = true,
    ];
    for (refused, set) in kinds.into_iter().enumerate() {
        let tree = image::single(1);
        let registry = quirky(set);
        registry.contents().add("app", "1", &tree);
        let layer = &tree.blobs()[1].descriptor.digest;
        let urls = [
            "manifests/1".to_owned(),
            format!("manifests/{}", tree.digest()),
            format!("blobs/{layer}"),
        ];
        for (kind, url) in urls.iter().enumerate() {
            let reply = request("DELETE", &format!("{}/v2/app/{url}", registry.url()), &[]);
            let expected = if kind == refused { 405 } else { 202 };
            assert_eq!(reply.status, expected, "{url}");
        }
    }
}

fn token(tokens: &TokenServer, scope: &str) -> Reply {
    get(&format!("{}?{scope}", tokens.realm()))
}

fn bearer(tokens: &TokenServer, scope: &str) -> String {
    let granted = token(tokens, scope);
    format!("Bearer {}", granted.json()["token"].as_str().unwrap())
}

#[test]
fn a_token_is_used_up() {
    let tokens = TokenServer::builder().start().unwrap();
    let quirks = Quirks {
        token_uses: Some(2),
        ..Quirks::default()
    };
    let registry = Registry::builder()
        .writable()
        .quirks(quirks)
        .bearer(&tokens);
    let registry = registry.start().unwrap();
    for _ in 0..2 {
        let bearer = bearer(&tokens, "scope=repository:app:push");
        let post = || {
            request(
                "POST",
                &uploads(&registry, ""),
                &[("authorization", &bearer)],
            )
        };
        let statuses = [post(), post(), post()].map(|reply| reply.status);
        assert_eq!(statuses, [202, 202, 401]);
    }
    let refused = request("POST", &uploads(&registry, ""), &[]);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(!challenge.contains("invalid_token"), "{challenge}");
}

#[test]
fn a_mount_needs_access_to_its_source() {
    let tokens = TokenServer::builder().start().unwrap();
    let registry = Registry::builder().writable().bearer(&tokens);
    let registry = registry.start().unwrap();
    let digest = Digest::sha256(b"shared");
    registry.contents().set_blob("base", &digest, "shared");
    let url = uploads(&registry, &format!("?mount={digest}&from=base"));
    let both = "scope=repository:app:push&scope=repository:base:pull";
    for (scope, status) in [("scope=repository:app:push", 401), (both, 201)] {
        let bearer = bearer(&tokens, scope);
        let reply = request("POST", &url, &[("authorization", &bearer)]);
        assert_eq!(reply.status, status, "{scope}");
        if status == 401 {
            let challenge = reply.header("www-authenticate").unwrap();
            let scope = "scope=\"repository:app:push repository:base:pull\"";
            assert!(challenge.contains(scope), "{challenge}");
        }
    }
}

#[test]
fn a_scope_with_a_refused_action_is_refused_as_a_whole() {
    let tokens = TokenServer::builder()
        .refuse_action("delete")
        .start()
        .unwrap();
    let refused = token(&tokens, "scope=repository:app:pull,delete");
    assert_eq!(refused.status, 400);
    assert_eq!(token(&tokens, "scope=repository:app:pull,push").status, 200);
}

#[test]
fn credentials_are_checked_before_the_body_is_read() {
    let tokens = TokenServer::builder().start().unwrap();
    let quirks = Quirks {
        early_refusal: true,
        ..Quirks::default()
    };
    let registry = Registry::builder()
        .writable()
        .quirks(quirks)
        .bearer(&tokens);
    let registry = registry.start().unwrap();
    let early = send_part("POST", &uploads(&registry, ""), &[], "ab", 10);
    assert_eq!(early.status, 401);
    assert!(
        early
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer ")
    );
    let seen = registry.requests().all();
    assert_eq!((seen[0].body.len(), seen[0].complete), (0, false));
}

#[test]
fn reads_are_refused_as_the_switches_say() {
    let tree = image::single(1);
    let registry = quirky(|quirks| {
        quirks.blob_head = Some(StatusCode::UNAUTHORIZED);
        quirks.manifest_head = Some(StatusCode::METHOD_NOT_ALLOWED);
        quirks.range_refused = Some(StatusCode::NOT_IMPLEMENTED);
        quirks.accept_refused = true;
        quirks.absent = StatusCode::FORBIDDEN;
    });
    registry.contents().add("app", "1", &tree);
    let layer = &tree.blobs()[1].descriptor.digest;
    let blob = format!("{}/v2/app/blobs/{layer}", registry.url());
    let manifest = format!("{}/v2/app/manifests/1", registry.url());
    assert_eq!(request("HEAD", &blob, &[]).status, 401);
    assert_eq!(request("HEAD", &manifest, &[]).status, 405);
    assert_eq!(get_with(&blob, &[("range", "bytes=1-")]).status, 501);
    assert_eq!(get_with(&blob, &[("accept", "text/plain")]).status, 406);
    assert_eq!(get_with(&blob, &[("accept", "*/*")]).status, 200);
    assert_eq!(get_with(&manifest, &[("accept", "text/plain")]).status, 200);
    assert_eq!(get(&absent(&registry)).status, 403);
}

#[test]
fn an_early_answer_leaves_no_trace() {
    let registry = quirky(|_| {});
    let answer = ScriptedResponse::status(StatusCode::PAYLOAD_TOO_LARGE);
    let early = Misbehaviour::AnswerEarly(Box::new(answer));
    registry.misbehave(Rule::on_writes(early).times(1));
    assert_eq!(push_whole(&registry, "abc").status, 413);
    assert_eq!(stored(&registry, "abc").status, 404);
    assert_eq!(push_whole(&registry, "abc").status, 201);
}

#[test]
fn writes_go_wrong_by_number() {
    let registry = quirky(|_| {});
    let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "7".to_owned());
    registry.misbehave(Rule::on_writes(limit).after(1).times(1));
    registry.misbehave(
        Rule::on_writes(Misbehaviour::SecondaryRateLimit)
            .after(2)
            .times(1),
    );
    let lost = Rule::on_writes(Misbehaviour::HangUp).after(3).times(1);
    registry.misbehave(lost);
    let replies = ["a", "b", "c", "d"].map(|blob| {
        assert_eq!(stored(&registry, blob).status, 404);
        push_whole(&registry, blob)
    });
    assert_eq!(
        replies.each_ref().map(|reply| reply.status),
        [201, 429, 403, 0]
    );
    assert_eq!(replies[1].header("retry-after"), Some("7"));
    assert!(replies[2].body.contains("secondary rate limit"));
    assert_eq!(
        stored(&registry, "d").body,
        "d",
        "stored, without an answer"
    );
}

#[test]
fn a_location_goes_wrong_and_sessions_and_tokens_end() {
    let registry = quirky(|_| {});
    let foreign = Misbehaviour::Location("http://127.0.0.2{location}".to_owned());
    registry.misbehave(Rule::on(Part::Upload, foreign).times(1));
    let name = http::header::LOCATION;
    let value = http::HeaderValue::from_static("/other");
    let twice = Misbehaviour::AddHeader(name, value);
    registry.misbehave(Rule::on(Part::Upload, twice).after(1).times(1));
    let reply = request("POST", &uploads(&registry, ""), &[]);
    let expected = "http://127.0.0.2/v2/app/blobs/uploads/session-1";
    assert_eq!(reply.header("location"), Some(expected));
    let reply = request("POST", &uploads(&registry, ""), &[]);
    assert_eq!(reply.head.matches("location: ").count(), 2);

    let at = open(&registry);
    registry.misbehave(Rule::on(Part::Upload, Misbehaviour::ForgetUploads).times(1));
    assert_eq!(patch(&at, "0-2", "abc").status, 202);
    assert_eq!(get(&at).status, 404);

    let tokens = TokenServer::builder().start().unwrap();
    let guarded = Registry::builder()
        .writable()
        .bearer(&tokens)
        .start()
        .unwrap();
    guarded.misbehave(Rule::on(Part::Upload, Misbehaviour::RevokeTokens).times(1));
    let bearer = bearer(&tokens, "scope=repository:app:push");
    let post = || {
        request(
            "POST",
            &uploads(&guarded, ""),
            &[("authorization", &bearer)],
        )
    };
    assert_eq!([post().status, post().status], [202, 401]);
}

#[test]
fn a_body_is_read_as_far_as_the_valve_lets_it() {
    let registry = quirky(|_| {});
    let at = open(&registry);
    let valve = Valve::new();
    let pace = Misbehaviour::PaceRequest(valve.clone());
    registry.misbehave(Rule::on(Part::Upload, pace).method(http::Method::PATCH));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| patch(&at, "0-4", "abcde"));
        valve.let_pass(2);
        while progress(&get(&at)).1 != Some("0-1") {
            std::thread::yield_now();
        }
        valve.open();
        // A request for the state took over the two bytes and ended the request that sent them.
        assert_eq!(slow.join().unwrap().status, 404);
    });
    registry.behave();
    assert_eq!(patch(&at, "2-4", "cde").status, 202);
    valve.open();
    assert_eq!(finish(&at, "abcde", "").status, 201);
}

#[test]
fn an_expired_token_is_refused_without_a_challenge() {
    for status in [StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST] {
        let tokens = TokenServer::builder().start().unwrap();
        let quirks = Quirks {
            expired: Some(status),
            ..Quirks::default()
        };
        let registry = Registry::builder().writable().quirks(quirks);
        let registry = registry.bearer(&tokens).start().unwrap();
        assert_eq!(push_whole(&registry, "abc").status, 401);
        let bearer = bearer(&tokens, "scope=repository:app:push");
        registry.revoke_tokens();
        let fields = [("authorization", bearer.as_str())];
        let reply = request("POST", &uploads(&registry, ""), &fields);
        assert_eq!(said(&reply), (status.as_u16(), "DENIED".to_owned()));
        assert_eq!(reply.header("www-authenticate"), None);
        assert!(reply.body.contains("token has expired"));
    }
}

#[test]
fn pages_are_limited_or_ignored() {
    let list = |registry: &Registry, query: &str| {
        for tag in ["1", "2", "3"] {
            registry.contents().add("app", tag, &image::single(1));
        }
        get(&format!("{}/v2/app/tags/list{query}", registry.url()))
    };
    let limit = Some((2, StatusCode::PAYLOAD_TOO_LARGE));
    let limited = quirky(|quirks| quirks.page_max = limit);
    assert_eq!(list(&limited, "?n=3").status, 413);
    let page = list(&limited, "?n=2");
    assert_eq!(page.json()["tags"].as_array().unwrap().len(), 2);
    assert_eq!(list(&limited, "").json()["tags"], page.json()["tags"]);
    let ignoring = quirky(|quirks| quirks.pages_ignored = true);
    let page = list(&ignoring, "?n=1&last=3");
    assert_eq!(page.json()["tags"].as_array().unwrap().len(), 3);
    assert_eq!(
        page.header("link"),
        Some("</v2/app/tags/list?last=x>; rel=\"next\"")
    );
}

#[test]
fn a_tag_can_be_a_digest() {
    let tree = image::single(1);
    let tag = tree.digest().as_str().replace(':', "-");
    for (set, status) in [(Quirks::gitlab(), 200), (Quirks::default(), 404)] {
        let registry = quirky(|quirks| *quirks = set);
        registry.contents().add("app", "1", &tree);
        let url = format!("{}/v2/app/manifests/{tag}", registry.url());
        assert_eq!(get(&url).status, status);
    }
}

/// The switches that change how a blob is sent, but not what is stored.
fn harmless() -> Vec<Quirks> {
    let mut all = vec![
        Quirks::default(),
        Quirks::azure(),
        Quirks::distribution(),
        Quirks::docker_hub(),
        Quirks::github(),
        Quirks::quay(),
        Quirks::zot(),
    ];
    let mut ecr = Quirks::amazon_ecr();
    ecr.repository_must_exist = false;
    ecr.chunk_min_bytes = None;
    all.push(ecr);
    all
}

// Accepted content can be read back, however it was divided.
#[test]
fn what_was_accepted_can_be_read_back() {
    for (number, quirks) in harmless().into_iter().enumerate() {
        let registry = quirky(|set| *set = quirks.clone());
        for round in 0..12 {
            let seed = (number * 100 + round) as u64;
            let length = mix(seed, 0) as usize % 40 + 1;
            let whole: String = (0..length)
                .map(|at| char::from(b'a' + (mix(seed, at as u64 + 1) % 26) as u8))
                .collect();
            let mut at = open(&registry);
            let mut sent = 0;
            for step in 0.. {
                let next = sent + mix(seed, 100 + step) as usize % 12 + 1;
                if next >= length {
                    break;
                }
                let range = format!("{sent}-{}", next - 1);
                let reply = patch(&at, &range, &whole[sent..next]);
                assert_eq!(reply.status, quirks.patch_status);
                at = session(&registry, &reply);
                sent = next;
            }
            let done = finish(&at, &whole, &whole[sent..]);
            assert_eq!(done.status, 201, "{quirks:?}");
            let digest = Digest::sha256(whole.as_bytes());
            assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(stored(&registry, &whole).body, whole);
        }
    }
}

#[test]
fn one_chunk_is_accepted_and_a_second_refused() {
    let registry = quirky(|quirks| quirks.chunks = Chunks::One);
    let at = open(&registry);
    assert_eq!(patch(&at, "0-2", "abc").status, 202);
    assert_eq!(patch(&at, "3-3", "d").status, 405);
    assert_eq!(finish(&at, "abc", "").status, 201);
}
