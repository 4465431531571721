//! The code does not mention numbers of features, because readers do not have the list.
//!
//! Such a number is `F` and digits in a comment, or a prefix such as `f22_` in a function's name.

use super::{Finding, source};

/// Finds numbers of features in a file of Rust.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let comments = source::comments(text);
    let code = source::code(text);
    let mut findings = Vec::new();
    for ((line, comment), code) in (1..).zip(comments.lines()).zip(code.lines()) {
        let words = comment.split(|c: char| !c.is_alphanumeric() && c != '_');
        let in_comment = words.filter(|word| is_number(word, 'F'));
        let in_name = code
            .split_once("fn ")
            .and_then(|(_, name)| name.split_once('_'))
            .map(|(first, _)| first)
            .filter(|first| is_number(first, 'f'));
        for number in in_comment.chain(in_name) {
            let what = format!("{number} is the number of a feature: say what it is");
            findings.push(Finding::at(path, line, what));
        }
    }
    findings
}

/// The letter and a number of at most three digits that does not begin with 0.
fn is_number(word: &str, letter: char) -> bool {
    word.strip_prefix(letter).is_some_and(|number| {
        (1..=3).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check("a.rs", text).iter().map(Finding::to_string).collect()
    }

    // The samples are put together, since this file is checked too.
    #[test]
    fn numbers_of_features_are_found() {
        for (text, number) in [
            (concat!("// F", "22, RT9"), concat!("F", "22")),
            (concat!("//! words (F", "4)."), concat!("F", "4")),
            (concat!("x(); /* F", "4 */"), concat!("F", "4")),
            (concat!("fn f", "11_the_best_wins() {}"), concat!("f", "11")),
            (concat!("async fn f", "7_cr6_a() {}"), concat!("f", "7")),
        ] {
            let expected = format!("a.rs:1: {number} is the number of a feature: say what it is");
            assert_eq!(found(text), [expected], "{text}");
        }
    }

    #[test]
    fn code_literals_and_other_words_are_fine() {
        for text in [
            "struct F1; impl<F2> T for F1 {}",
            "let a = \"F3\";",
            "// [a-fA-F0-9:], RF1, F1234, F2a, f16, F_1",
            "fn f() {}",
            "fn f16() {}",
            "fn of_f1_a() {}",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
