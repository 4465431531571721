//! Advice about unknown keys.

/// Returns the known name that is most similar to this one, if any is close.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = 1 + name.chars().count() / 4;
    let distances = known.iter().map(|it| (distance(name, it), *it));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= limit).then_some(nearest)
}

/// Longest name that is compared with others, in characters.
const LONGEST_CHARS: usize = 80;

/// The number of characters to insert, remove or replace to turn one text into the other
/// (Levenshtein distance). Upper and lower case count as equal.
fn distance(a: &str, b: &str) -> usize {
    if a.chars().count() > LONGEST_CHARS {
        return usize::MAX;
    }
    let lower = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let (a, b) = (lower(a), lower(b));
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        let mut next = vec![left];
        for (b, above) in b.chars().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != b);
            left = replaced.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Parts of key names that suggest a secret.
const SECRETS: [&str; 8] = [
    "apikey",
    "auth",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "token",
];

/// Returns advice if a key seems to hold a secret.
pub(super) fn secret_advice(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['_', '-'], "");
    let is_secret = SECRETS.iter().any(|word| name.contains(word));
    is_secret.then_some(
        "secrets do not belong in the configuration: write the secret to a file and refer to it \
         with `credentials = { username = \"…\", file = \"/path\" }`, or to an environment \
         variable with `credentials = { username = \"…\", env = \"NAME\" }`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_close() {
        let known = ["listen", "tag_ttl", "negative_ttl", "upstream"];
        for (name, expected) in [
            ("listn", Some("listen")),
            ("tag-ttl", Some("tag_ttl")),
            ("TagTtl", Some("tag_ttl")),
            ("upstreams", Some("upstream")),
            ("negativ_ttl", Some("negative_ttl")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name:?}");
        }
        assert_eq!(nearest(&"a".repeat(1_000_000), &known), None);
    }

    #[test]
    fn a_distance_counts_characters() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("size", "sizes", 1),
            ("äb", "b", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn keys_of_secrets_get_advice() {
        for name in [
            "password",
            "identity_token",
            "API-KEY",
            "auth",
            "client_secret",
        ] {
            assert!(
                secret_advice(name).is_some_and(|it| it.contains("file")),
                "{name}"
            );
        }
        assert_eq!(secret_advice("concurrency"), None);
    }
}
