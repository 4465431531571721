//! `WWW-Authenticate`, against a second reader written from the grammar.

use longshore_auth::{CHALLENGES_LIMIT, CHALLENGES_LIMIT_BYTES, Challenge, Fault};

#[path = "../../../crates/longshore-auth/tests/naive/grammar.rs"]
#[expect(
    clippy::indexing_slicing,
    reason = "a transcription of the grammar, slow and plain; its own tests hold it together"
)]
mod grammar;

use grammar::{NaiveChallenge, naive_challenges};

/// The longest field shown to the second reader, which tries every way a rule can match.
const NAIVE_LIMIT_BYTES: usize = 256;

/// Reads each line as one `WWW-Authenticate` field of the same response.
///
/// # Panics
///
/// When a limit is passed, when a challenge does not survive being printed and read again, or when
/// the two readers disagree.
pub fn challenge(data: &[u8]) {
    let fields: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let read = read(&fields);
    assert!(
        read.len() <= CHALLENGES_LIMIT + 1,
        "RE7: {} items",
        read.len()
    );
    for challenge in read.iter().flatten() {
        survives_printing(challenge);
    }
    for field in fields
        .iter()
        .filter(|field| field.len() <= NAIVE_LIMIT_BYTES)
    {
        agrees_with_the_grammar(field);
    }
}

fn read<'a>(fields: &[&'a [u8]]) -> Vec<Result<Challenge<'a>, Fault>> {
    Challenge::parse_all(fields.iter().copied()).collect()
}

/// What we print is the same challenge and follows the grammar to the letter.
fn survives_printing(challenge: &Challenge<'_>) {
    let printed = challenge.to_bytes();
    // Escapes can make the printed text longer than what may be read.
    if printed.len() > CHALLENGES_LIMIT_BYTES {
        return;
    }
    let again = read(&[&printed]);
    let [Ok(again)] = again.as_slice() else {
        panic!("{challenge:?} reads back as {again:?}")
    };
    assert_eq!(plain(again), plain(challenge));
    assert_eq!(again.leniency(), None, "{challenge:?}");
}

/// A field follows the grammar exactly when we read it without a fault, and then in the same way.
fn agrees_with_the_grammar(field: &[u8]) {
    let read = read(&[field]);
    let meanings = naive_challenges(field);
    assert!(
        meanings.len() <= 1,
        "the grammar is ambiguous: {meanings:?}"
    );
    let strict: Option<Vec<NaiveChallenge>> = read
        .iter()
        .map(|item| match item {
            Ok(challenge) if challenge.leniency().is_none() => Some(plain(challenge)),
            _ => None,
        })
        .collect();
    match meanings.into_iter().next() {
        Some(meaning) if meaning.len() > CHALLENGES_LIMIT => assert_eq!(strict, None),
        meaning => assert_eq!(strict, meaning, "we read {read:?}"),
    }
}

fn plain(challenge: &Challenge<'_>) -> NaiveChallenge {
    NaiveChallenge {
        scheme: challenge.scheme().to_owned(),
        token68: challenge.token68().map(str::to_owned),
        params: challenge
            .params()
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect(),
    }
}
