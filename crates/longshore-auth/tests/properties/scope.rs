//! Scopes.

use longshore_auth::{Issued, LIFETIME_FLOOR, LIFETIME_LIMIT, ScopeSet};
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_canonical_text_of_a_scope_is_a_fixed_point(text in text()) {
        let set = ScopeSet::parse(&text);
        let canonical = set.to_string();
        prop_assert_eq!(ScopeSet::parse(&canonical), set);
        prop_assert_eq!(ScopeSet::parse(&canonical).to_string(), canonical);
    }

    #[test]
    fn a_union_covers_both_sides_and_nothing_else(
        a in text(), b in text(), c in text(),
    ) {
        let [a, b, c] = [a, b, c].map(|text| ScopeSet::parse(&text));
        let union = a.union(&b);
        prop_assert!(union.covers(&a) && union.covers(&b));
        prop_assert_eq!(&union, &b.union(&a));
        prop_assert_eq!(&union, &union.union(&a));
        if c.covers(&a) && c.covers(&b) {
            prop_assert!(c.covers(&union));
        }
    }

    #[test]
    fn any_text_is_a_scope(text in "[a-z:*,() /A-Z\u{0}\u{e4}]{0,40}") {
        let set = ScopeSet::parse(&text);
        prop_assert_eq!(set.is_empty(), text.split(' ').all(str::is_empty));
    }

    // CR9, RT7
    #[test]
    fn whatever_a_token_endpoint_says_is_a_safe_token_or_an_error(
        body in prop_oneof![any::<Vec<u8>>(), response()],
    ) {
        if let Ok(issued) = Issued::parse(&body) {
            prop_assert!(!issued.token.expose().is_empty());
            prop_assert!(issued.token.expose().bytes().all(|b| b.is_ascii_graphic()));
            prop_assert!((LIFETIME_FLOOR..=LIFETIME_LIMIT).contains(&issued.lifetime));
        }
    }
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    ("[ -~\\PC]{0,9}", "[-0-9.e]{0,6}").prop_map(|(token, expires_in)| {
        format!("{{\"token\":\"{token}\",\"expires_in\":{expires_in}}}").into_bytes()
    })
}

fn text() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => "repository:[ab]:(pull|push|delete|\\*)(,(pull|push))?",
        1 => "(registry:catalog|repository\\(plugin\\):a):(\\*|pull)",
        1 => "aws|\\*|repository::pull|a:b",
    ];
    prop::collection::vec(item, 0..5).prop_map(|items| items.join(" "))
}
