//! Challenges.

use longshore_auth::Challenge;
use proptest::prelude::*;

use crate::grammar::{NaiveChallenge, naive_challenges};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn challenges_mean_what_the_grammar_says(line in line()) {
        compare_with_grammar(&line)?;
    }

    #[test]
    fn no_bytes_make_the_challenge_parser_panic(line: Vec<u8>) {
        compare_with_grammar(&line)?;
    }

    #[test]
    fn a_printed_challenge_reads_as_itself(line in line()) {
        for challenge in Challenge::parse_all([line.as_slice()].into_iter()).flatten() {
            let printed = challenge.to_bytes();
            let again: Vec<_> = Challenge::parse_all([printed.as_slice()].into_iter()).collect();
            let [Ok(again)] = again.as_slice() else {
                panic!("{challenge:?} prints as {printed:?}, which reads as {again:?}");
            };
            prop_assert_eq!(again.leniency(), None);
            prop_assert_eq!(describe(again), describe(&challenge));
        }
    }

    #[test]
    fn any_challenge_can_be_printed_and_read(challenge in challenge()) {
        let mut line = challenge.scheme.clone().into_bytes();
        for (i, (name, value)) in challenge.params.iter().enumerate() {
            let separator = if i == 0 { " " } else { "," };
            line.extend_from_slice(format!("{separator}{name}=\"").as_bytes());
            // Every byte escaped: what nobody would write, but anybody may.
            line.extend(value.iter().flat_map(|byte| [b'\\', *byte]));
            line.push(b'"');
        }
        let read: Vec<_> = Challenge::parse_all([line.as_slice()].into_iter())
            .map(|item| item.map(|c| describe(&c)))
            .collect();
        prop_assert_eq!(read, [Ok(challenge)]);
    }
}

/// The fast parser agrees with the grammar on what follows it, and says so of what does not.
fn compare_with_grammar(line: &[u8]) -> Result<(), TestCaseError> {
    let items: Vec<_> = Challenge::parse_all([line].into_iter()).collect();
    let strict = items
        .iter()
        .all(|item| item.is_ok_and(|c| c.leniency().is_none()));
    let meanings = naive_challenges(line);
    prop_assert!(
        meanings.len() <= 1,
        "the grammar is ambiguous: {:?}",
        meanings
    );
    match meanings.first() {
        Some(meaning) => {
            let read: Vec<_> = items.iter().flatten().map(describe).collect();
            prop_assert!(strict, "{:?}", items);
            prop_assert_eq!(&read, meaning);
        }
        None => prop_assert!(!strict, "{:?}", items),
    }
    Ok(())
}

fn describe(challenge: &Challenge<'_>) -> NaiveChallenge {
    NaiveChallenge {
        scheme: challenge.scheme().to_owned(),
        token68: challenge.token68().map(str::to_owned),
        params: challenge
            .params()
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect(),
    }
}

/// Lines made of the pieces that matter to the grammar, in any order.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b",".to_vec()),
        4 => Just(b" ".to_vec()),
        3 => Just(b"=".to_vec()),
        3 => Just(b"A".to_vec()),
        3 => Just(b"x=1".to_vec()),
        2 => Just(br#"y="\"2\"""#.to_vec()),
        2 => Just(b"\"".to_vec()),
        1 => Just(b"\\".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just(b"/+==".to_vec()),
        1 => Just(b"Bearer realm=".to_vec()),
        1 => Just(b"\"https://a/\"".to_vec()),
        1 => Just(b"\xe4".to_vec()),
        1 => Just(b"\x01".to_vec()),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn challenge() -> impl Strategy<Value = NaiveChallenge> {
    let token = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}";
    let byte = prop_oneof![Just(b'\t'), 0x20_u8..=0x7e, 0x80_u8..];
    let value = prop::collection::vec(byte, 0..20);
    (token, prop::collection::vec((token, value), 0..5)).prop_map(|(scheme, params)| {
        NaiveChallenge {
            scheme,
            token68: None,
            params,
        }
    })
}
