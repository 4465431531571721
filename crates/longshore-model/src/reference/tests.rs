use serde_json::Value;

use super::ReferenceError as E;
use super::*;
use crate::corpus;

const HEX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// Parses a reference and compares the canonical text with what is expected.
fn check(text: &str, expected: Result<&str, E>) {
    let parsed = Reference::parse(text);
    assert_eq!(
        parsed.as_ref().map(Reference::as_str),
        expected.as_deref(),
        "{text}"
    );
    if let Ok(reference) = parsed {
        assert_eq!(
            Reference::parse(reference.as_str()),
            Ok(reference.clone()),
            "{text}"
        );
        assert_eq!(
            Reference::parse(reference.familiar()),
            Ok(reference),
            "{text}"
        );
    }
}

#[test]
fn defaults_are_filled_in() {
    check("alpine", Ok("docker.io/library/alpine:latest"));
    check("alpine:3.20", Ok("docker.io/library/alpine:3.20"));
    check("a/b", Ok("docker.io/a/b:latest"));
    check("ghcr.io/a", Ok("ghcr.io/a:latest"));
    check("localhost/a", Ok("localhost/a:latest"));
    check("localhost:5000", Ok("docker.io/library/localhost:5000"));
    check("a:5000/b", Ok("a:5000/b:latest"));
    check("Host/b", Ok("Host/b:latest"));
    check("127.0.0.1:5000/b:c", Ok("127.0.0.1:5000/b:c"));
    check("[::1]:5000/b", Ok("[::1]:5000/b:latest"));
    check("[2001:db8::1]/b", Ok("[2001:db8::1]/b:latest"));
}

#[test]
fn docker_hub_is_one_registry() {
    for registry in [
        "docker.io",
        "index.docker.io",
        "registry-1.docker.io",
        "Docker.IO",
    ] {
        check(
            &format!("{registry}/alpine"),
            Ok("docker.io/library/alpine:latest"),
        );
        check(&format!("{registry}/a/b:c"), Ok("docker.io/a/b:c"));
    }
}

#[test]
fn the_grammar_is_enforced() {
    let name = |start, at| {
        Err(E::Name {
            start,
            reason: NameError::Unexpected { at },
        })
    };
    let upper = |start, at| {
        Err(E::Name {
            start,
            reason: NameError::UpperCase { at },
        })
    };
    let tag = |start, reason| Err(E::Tag { start, reason });
    check("", Err(E::Empty));
    check("UPPER/Case", upper(6, 6));
    check("Upper", upper(0, 0));
    check("a/../b", name(0, 2));
    check(
        "a.b/",
        Err(E::Name {
            start: 4,
            reason: NameError::Empty,
        }),
    );
    check("a.b/c/%2e", name(4, 6));
    check("a:", tag(2, NameError::Empty));
    check("a:-", tag(2, NameError::Unexpected { at: 2 }));
    check("a:b:c", tag(2, NameError::Unexpected { at: 3 }));
    check("a:b/c", Err(E::Registry { at: 2 }));
    check("-a.b/c", Err(E::Registry { at: 0 }));
    check("a-.b/c", Err(E::Registry { at: 2 }));
    check("a.b./c", Err(E::Registry { at: 4 }));
    check("a..b/c", Err(E::Registry { at: 2 }));
    check("a.b:/c", Err(E::Registry { at: 4 }));
    check("a.b:8x/c", Err(E::Registry { at: 5 }));
    check("[::1/c", Err(E::Registry { at: 4 }));
    check("[]:1/c", Err(E::Registry { at: 1 }));
    check("[::1]x/c", Err(E::Registry { at: 5 }));
    check("u:p@a.b/c", Err(E::Registry { at: 2 }));
    check("https://ghcr.io/a", Err(E::Scheme));
    check("docker://alpine", Err(E::Scheme));
    check(HEX, Err(E::Identifier));
    check(
        &format!("a/{HEX}"),
        Ok(&format!("docker.io/a/{HEX}:latest")),
    );
}

#[test]
fn dg8_lengths_are_those_after_the_defaults() {
    let limit = |length, limit| NameError::TooLong { length, limit };
    let a = "a".repeat(247);
    check(&a, Ok(&format!("docker.io/library/{a}:latest")));
    check(
        &format!("{a}a"),
        Err(E::Name {
            start: 0,
            reason: limit(256, 255),
        }),
    );
    check(
        &format!("x.y/{a}aaaaaaaa"),
        Ok(&format!("x.y/{a}aaaaaaaa:latest")),
    );
    let tag = "t".repeat(129);
    check(
        &format!("a:{tag}"),
        Err(E::Tag {
            start: 2,
            reason: limit(129, 128),
        }),
    );
    check(&"a".repeat(2049), Err(E::TooLong { length: 2049 }));
    let host = format!("{}.b/c:t@sha256:{HEX}", "a".repeat(1900));
    check(&host, Ok(&host));
}

#[test]
fn the_digest_is_what_is_asked_for() {
    let text = format!("ghcr.io/a/b:c@sha256:{HEX}");
    check(&text, Ok(&text));
    let reference = Reference::parse(&text).unwrap();
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    assert_eq!(reference.registry(), "ghcr.io");
    assert_eq!(reference.repository().as_str(), "a/b");
    assert_eq!(reference.tag(), Some("c".parse().unwrap()));
    assert_eq!(reference.digest(), Some(digest.clone()));
    assert_eq!(reference.target(), TagOrDigest::Digest(digest));
    let untagged = Reference::parse(&format!("a@sha256:{HEX}")).unwrap();
    assert_eq!(
        untagged.to_string(),
        format!("docker.io/library/a@sha256:{HEX}")
    );
    assert_eq!((untagged.tag(), untagged.tag_str()), (None, None));
    let tagged = Reference::parse("a").unwrap();
    assert_eq!(
        (tagged.digest(), tagged.target().as_str()),
        (None, "latest")
    );
}

#[test]
fn an_error_says_what_is_wrong_and_where_in_the_whole_text() {
    for (text, expected) in [
        ("", "the reference is empty"),
        (
            "ghcr.io/app/Tool:1",
            "malformed repository name, which starts at byte 8: upper-case letter at byte 12, and \
             only tags may have them",
        ),
        (
            "ghcr.io/app-",
            "malformed repository name, which starts at byte 8: unexpected character or end at \
             byte 12",
        ),
        (
            "ghcr.io/",
            "malformed repository name, which starts at byte 8: it is empty",
        ),
        (
            "app:1.0+x",
            "malformed tag, which starts at byte 4: unexpected character or end at byte 7",
        ),
        (
            "app@sha256",
            "malformed digest, which starts at byte 4: there is no colon, and a digest is \
             `algorithm:encoded`",
        ),
        (
            "app@sha512:00",
            "malformed digest, which starts at byte 4: the encoded part of the digest has 2 \
             characters, and its algorithm requires 128 hexadecimal digits",
        ),
        (
            "app@sha%:00",
            "malformed digest, which starts at byte 4: malformed digest algorithm: unexpected \
             character or end at byte 7; it is lower-case letters and digits, with single `+`, \
             `.`, `_` or `-` between them",
        ),
        (
            "a.b:8x/app",
            "the registry is not a host with an optional port: unexpected character or end at \
             byte 5",
        ),
        (
            "https://ghcr.io/app",
            "there is a scheme such as `https://`, and a reference starts with the registry",
        ),
        (
            HEX,
            "64 hexadecimal digits are the identifier of a local image, not of one in a registry",
        ),
        (
            "app@md5:00",
            "the digest algorithm md5 is not supported, so the content cannot be verified",
        ),
    ] {
        let error = Reference::parse(text).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
        // The source does not repeat the message, because both are printed together.
        assert!(std::error::Error::source(&error).is_none(), "{text}");
    }
    let long = Reference::parse(&"a".repeat(2049)).unwrap_err();
    assert_eq!(
        long.to_string(),
        "the reference has 2049 bytes, and at most 2048 are allowed"
    );
}

#[test]
fn dg1_a_digest_in_a_reference_can_be_verified() {
    let at = |start, reason| Err(E::Digest { start, reason });
    let algorithm = "md5".into();
    check(
        "a@md5:00",
        Err(E::UnsupportedAlgorithm(UnsupportedAlgorithm { algorithm })),
    );
    check(
        "a:b@sha256:00",
        at(
            4,
            DigestError::Length {
                expected: 64,
                found: 2,
            },
        ),
    );
    check("a@", at(2, DigestError::MissingColon));
    check(
        &format!("a@sha256:{HEX}@x"),
        at(
            2,
            DigestError::Length {
                expected: 64,
                found: 66,
            },
        ),
    );
}

#[test]
fn tag_and_digest_are_replaced() {
    let reference = Reference::parse("ghcr.io/a:b").unwrap();
    let digest = Digest::sha256(b"");
    let pinned = reference.with_digest(&digest);
    assert_eq!(pinned.to_string(), format!("ghcr.io/a:b@{digest}"));
    assert_eq!(
        pinned.with_digest(&Digest::sha256(b"x")).digest(),
        Some(Digest::sha256(b"x"))
    );
    let tag = "c".parse().unwrap();
    assert_eq!(pinned.with_tag(&tag).to_string(), "ghcr.io/a:c");
}

#[test]
fn the_familiar_form_leaves_out_what_parsing_adds() {
    for (text, familiar) in [
        ("docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/library/a/b", "library/a/b:latest"),
        ("docker.io/a/b", "a/b:latest"),
        ("docker.io/a.b/c", "docker.io/a.b/c:latest"),
        ("ghcr.io/library/a", "ghcr.io/library/a:latest"),
    ] {
        assert_eq!(Reference::parse(text).unwrap().familiar(), familiar);
    }
}

#[test]
fn serde_goes_through_the_canonical_text() {
    let reference: Reference = serde_json::from_str("\"alpine\"").unwrap();
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(json, "\"docker.io/library/alpine:latest\"");
}

/// Rows that are refused as they should be, but for another of the faults they have.
const OTHER_FAULT: &[(&str, &str)] = &[
    (
        "INVALID_TAG!",
        "the upper case stands before the byte no reference has",
    ),
    ("OCI:", "the upper case stands before the empty tag"),
    ("oci://localhost/UPPERCASE", "the scheme is what to say"),
    ("ocidir://path/to/DIR:v1.2.3", "the scheme is what to say"),
    (
        "sha256%3Aa1b2",
        "the percent sign stands before the upper case",
    ),
    ("some-.-.Tag", "the dot stands before the upper case"),
    (
        "validname@invalidDigest:",
        "the upper case stands in the digest, not in the name",
    ),
];

/// A registry of its own in the corpus, and Docker Hub here.
const ALIAS: &str = "registry-1.docker.io/";

#[test]
fn every_row_of_the_corpus_behaves_as_expected() {
    corpus::for_each_row("references.jsonl", 649, |number, input, expect| {
        if OTHER_FAULT
            .iter()
            .any(|(start, _)| input.starts_with(start))
        {
            assert!(Reference::parse(input).is_err(), "row {number}: {input}");
            return;
        }
        let parts = ReferenceParts::parse(input);
        assert_eq!(
            grammar(&parts),
            grammar_row(&expect["grammar"]),
            "row {number}: {input}"
        );
        let reference = Reference::parse(input);
        if input.starts_with(ALIAS) {
            // The reference implementation treats this name like any other.
            let registry = reference.as_ref().map(Reference::registry).ok();
            let valid = expect["normalized"]["error"].is_null();
            assert_eq!(
                registry,
                valid.then_some("docker.io"),
                "row {number}: {input}"
            );
            return;
        }
        let normalized = reference.as_ref().map_err(class).map(|reference| {
            // The corpus leaves out a tag that was not written.
            let written = parts.ok().and_then(|parts| parts.tag);
            let familiar = match (written, &reference.digest_str()) {
                (None, None) => reference.familiar().strip_suffix(":latest").unwrap(),
                _ => reference.familiar(),
            };
            let fields = [
                Some(reference.registry()),
                Some(reference.repository_str()),
                written,
                reference.digest_str(),
                Some(reference.as_str()),
                Some(familiar),
            ];
            fields.map(|field| field.map(str::to_owned))
        });
        assert_eq!(
            normalized,
            normalized_row(&expect["normalized"]),
            "row {number}: {input}"
        );
    });
}

type Fields<const N: usize> = Result<[Option<String>; N], &'static str>;

fn grammar(parts: &Result<ReferenceParts<'_>, E>) -> Fields<4> {
    let parts = parts.as_ref().map_err(class)?;
    let fields = [parts.registry, Some(parts.path), parts.tag, parts.digest];
    Ok(fields.map(|field| field.map(str::to_owned)))
}

fn grammar_row(expect: &Value) -> Fields<4> {
    row(expect, ["domain", "path", "tag", "digest"])
}

fn normalized_row(expect: &Value) -> Fields<6> {
    row(
        expect,
        [
            "domain",
            "path",
            "tag",
            "digest",
            "with_default_tag",
            "familiar",
        ],
    )
}

fn row<const N: usize>(expect: &Value, keys: [&str; N]) -> Fields<N> {
    if let Some(error) = expect["error"].as_str() {
        return Err(error_class(error));
    }
    let text = |key| {
        expect[key]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Ok(keys.map(text))
}

/// Which of several faults is reported first is no requirement, but upper case is told apart.
fn error_class(error: &str) -> &'static str {
    if error == "name-uppercase" {
        "upper case"
    } else {
        "refused"
    }
}

fn class(error: &E) -> &'static str {
    match error {
        E::Name {
            reason: NameError::UpperCase { .. },
            ..
        } => "upper case",
        _ => "refused",
    }
}
