use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(text: &str, expected: Result<(Algorithm, &str), DigestError>) {
    let parsed = text.parse::<Digest>();
    let parts = parsed
        .as_ref()
        .map(|digest| (digest.algorithm(), digest.encoded()));
    assert_eq!(
        parts,
        expected.as_ref().map(|(a, e)| (a.clone(), *e)),
        "{text}"
    );
    if let Ok(digest) = parsed {
        assert_eq!(digest.to_string(), text);
    }
}

fn other(name: &str) -> Algorithm {
    Algorithm::Other(name.into())
}

#[test]
fn dg1_registered_algorithms_have_their_exact_length_in_lower_case() {
    use DigestError::{Encoded, Length};
    let hex = "0123456789abcdef".repeat(8);
    check(
        &format!("sha256:{}", &hex[..64]),
        Ok((Algorithm::Sha256, &hex[..64])),
    );
    check(
        &format!("sha384:{}", &hex[..96]),
        Ok((Algorithm::Sha384, &hex[..96])),
    );
    check(&format!("sha512:{hex}"), Ok((Algorithm::Sha512, &hex)));
    check(
        &format!("blake3:{}", &hex[..64]),
        Ok((other("blake3"), &hex[..64])),
    );
    check(
        "sha256:",
        Err(Length {
            expected: 64,
            found: 0,
        }),
    );
    check(
        &format!("sha256:{}", &hex[..63]),
        Err(Length {
            expected: 64,
            found: 63,
        }),
    );
    check(
        &format!("sha512:{}", &hex[..64]),
        Err(Length {
            expected: 128,
            found: 64,
        }),
    );
    check(&format!("sha256:{}A", &hex[..63]), Err(Encoded { at: 70 }));
    check(&format!("sha256:g{}", &hex[..63]), Err(Encoded { at: 7 }));
}

#[test]
fn dg1_unknown_algorithms_are_kept_by_the_grammar() {
    use DigestError::{Algorithm as Bad, Encoded, MissingColon};
    let multihash = "QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8";
    check(
        &format!("multihash+base58:{multihash}"),
        Ok((other("multihash+base58"), multihash)),
    );
    check(
        "sha256+b64u:LCa0a2j_xo-5=",
        Ok((other("sha256+b64u"), "LCa0a2j_xo-5=")),
    );
    check("", Err(MissingColon));
    check("sha256", Err(MissingColon));
    check(":abc", Err(Bad { at: 0 }));
    check("a..b:c", Err(Bad { at: 2 }));
    check("a.:c", Err(Bad { at: 2 }));
    check(".a:c", Err(Bad { at: 0 }));
    check("SHA256:c", Err(Bad { at: 0 }));
    check("a:", Err(Encoded { at: 2 }));
    check("a:b:c", Err(Encoded { at: 3 }));
    check("a:../../etc", Err(Encoded { at: 2 }));
    check("a:\0", Err(Encoded { at: 2 }));
}

#[test]
fn a_very_long_digest_is_refused() {
    let text = format!("a:{}", "b".repeat(DIGEST_LIMIT_BYTES - 2));
    assert_eq!(text.parse::<Digest>().unwrap().as_str(), text);
    let length = text.len() + 1;
    check(&format!("{text}b"), Err(DigestError::TooLong { length }));
}

#[test]
fn digests_are_computed_by_all_three_algorithms() {
    for (algorithm, encoded) in [
        (
            Algorithm::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Algorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        let digest = Digest::of(&algorithm, b"abc").unwrap();
        assert_eq!(digest.encoded(), encoded);
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
    }
    assert_eq!(Digest::sha256(b"").as_str(), EMPTY);
}

#[test]
fn dg1_an_unknown_algorithm_cannot_be_computed() {
    let algorithm = other("md5");
    let refused = UnsupportedAlgorithm {
        algorithm: "md5".into(),
    };
    assert_eq!(Digest::of(&algorithm, b"abc"), Err(refused.clone()));
    assert_eq!(
        refused.to_string(),
        "the digest algorithm md5 is not supported, so the content cannot be verified"
    );
}

#[test]
fn short_form_and_blob_path_come_from_the_encoded_part() {
    let digest = Digest::sha256(b"");
    assert_eq!(digest.short(), "e3b0c44298fc");
    assert_eq!(
        digest.blob_path(),
        EMPTY.replace("sha256:", "blobs/sha256/")
    );
    assert_eq!("a:b".parse::<Digest>().unwrap().short(), "b");
}

#[test]
fn serde_goes_through_the_text() {
    let digest = Digest::sha256(b"");
    let json = format!("\"{EMPTY}\"");
    assert_eq!(serde_json::to_string(&digest).unwrap(), json);
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    let error = serde_json::from_str::<Digest>("\"sha256:00\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the encoded part of the digest has 2 characters"),
        "{error}"
    );
}

#[test]
fn every_row_of_the_corpus_behaves_as_expected() {
    crate::corpus::for_each_row("digests.jsonl", 73, |number, input, expect| {
        if let Some(digest) = expect["content_digest"].as_str() {
            assert_eq!(
                Digest::sha256(input.as_bytes()).as_str(),
                digest,
                "row {number}"
            );
            return;
        }
        let parsed = input.parse::<Digest>();
        if let Some(algorithm) = expect["algorithm"].as_str() {
            let digest = parsed.unwrap();
            assert_eq!(digest.algorithm().as_str(), algorithm, "row {number}");
            assert_eq!(
                digest.encoded(),
                expect["encoded"].as_str().unwrap(),
                "row {number}"
            );
            assert!(Hasher::new(&digest.algorithm()).is_ok(), "row {number}");
            return;
        }
        // What the corpus calls an unsupported algorithm is kept here if it is well formed, and
        // refused when content is to be verified. SHA-384 is supported, by its exact length.
        let unsupported =
            expect["error"] == "unsupported-algorithm" && !input.starts_with("sha384:");
        match parsed {
            Ok(digest) => {
                assert!(unsupported, "row {number}: {input}");
                assert!(
                    Hasher::new(&digest.algorithm()).is_err(),
                    "row {number}: {input}"
                );
            }
            Err(_) => assert!(!unsupported, "row {number}: {input}"),
        }
    });
}
