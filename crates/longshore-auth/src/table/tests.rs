use longshore_origin::Secret;

use super::*;
use crate::{Credential, Realm, ScopeSet};

const MINUTE: Duration = Duration::from_secs(60);

// RT7
#[test]
fn rt7_a_token_is_renewed_a_little_before_it_expires() {
    for (lifetime, fresh_for) in [(60, 54), (100, 90), (300, 290), (3600, 3590), (5, 4)] {
        let table = TokenTable::new(1);
        let now = Duration::from_secs(7);
        let ttl = Some(Duration::from_secs(lifetime));
        table.put(key("r", "a"), token("t"), ttl, now);
        let fresh_until = now + Duration::from_secs(fresh_for);
        let just_before = fresh_until - Duration::from_nanos(1);
        assert_eq!(table.get(&key("r", "a"), just_before), Some(token("t")));
        if lifetime % 10 == 0 {
            assert_eq!(table.get(&key("r", "a"), fresh_until), None, "{lifetime}");
        }
        assert_eq!(table.get(&key("r", "a"), fresh_until + MINUTE), None);
    }
}

#[test]
fn lifetimes_may_be_given_left_out_or_zero() {
    let table = TokenTable::new(10);
    table.put(key("r", "a"), token("t"), None, Duration::ZERO);
    assert_eq!(table.get(&key("r", "a"), MINUTE / 2), Some(token("t")));
    assert_eq!(table.get(&key("r", "a"), MINUTE), None);
    table.put(key("r", "a"), token("t"), Some(Duration::ZERO), MINUTE);
    assert_eq!(table.get(&key("r", "a"), MINUTE), None);
    assert_eq!(table.get(&key("r", "a"), Duration::ZERO), None);
    table.put(key("r", "a"), token("t"), Some(Duration::MAX), MINUTE);
    assert_eq!(
        table.get(&key("r", "a"), 1_000_000 * MINUTE),
        Some(token("t"))
    );
    table.clear();
    assert_eq!(table.get(&key("r", "a"), MINUTE), None);
    assert!(table.is_empty());
}

// CR6
#[test]
fn cr6_a_token_is_found_under_its_own_key_only() {
    let realm = || Realm::parse(b"https://auth.example/token").unwrap();
    let user = |name: &str, password: &str| {
        Some(Credential::basic(name, Secret::new(password.into())).unwrap())
    };
    let make = |registry: &str, service, scope: &ScopeSet, account| {
        TokenKey::new(registry.parse().unwrap(), realm(), service, scope, account)
    };
    let scope = ScopeSet::pull("app");
    let key = make("https://r.example", "s", &scope, user("me", "secret"));
    let table = TokenTable::new(10);
    table.put(key.clone(), token("t"), None, Duration::ZERO);
    for other in [
        make("https://r.example:5000", "s", &scope, user("me", "secret")),
        make("http://r.example", "s", &scope, user("me", "secret")),
        make("https://r.example", "S", &scope, user("me", "secret")),
        make(
            "https://r.example",
            "s",
            &ScopeSet::push("app"),
            user("me", "secret"),
        ),
        make("https://r.example", "s", &scope, user("you", "secret")),
        make("https://r.example", "s", &scope, user("me", "changed")),
        make("https://r.example", "s", &scope, None),
    ] {
        assert_eq!(table.get(&other, Duration::ZERO), None, "{other:?}");
        assert_ne!(other, key);
    }
    let scope = ScopeSet::parse("repository:app:pull,pull");
    let same = make("https://r.example:443", "s", &scope, user("me", "secret"));
    assert_eq!(table.get(&same, Duration::ZERO), Some(token("t")));
    // The realm is how to ask, not what was asked for.
    let moved = Realm::parse(b"https://other.example/").unwrap();
    let registry = key.registry().clone();
    let same = TokenKey::new(registry, moved, "s", &scope, user("me", "secret"));
    assert_eq!(table.get(&same, Duration::ZERO), Some(token("t")));
    assert!(!format!("{key:?}").contains("\"secret\""));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let table = TokenTable::new(2);
    let soon = Some(Duration::from_secs(100));
    table.put(key("r", "a"), token("a"), soon, Duration::ZERO);
    table.put(key("r", "b"), token("b"), soon, Duration::ZERO);
    // The one unused for longest goes.
    assert!(table.get(&key("r", "a"), Duration::ZERO).is_some());
    table.put(key("r", "c"), token("c"), soon, Duration::ZERO);
    assert_eq!(table.len(), 2);
    assert_eq!(table.get(&key("r", "b"), Duration::ZERO), None);
    assert_eq!(table.get(&key("r", "a"), Duration::ZERO), Some(token("a")));
    // Expired ones go first, however recently they were used.
    table.put(key("r", "c"), token("c"), Some(MINUTE * 60), Duration::ZERO);
    assert_eq!(table.get(&key("r", "a"), MINUTE * 2), None);
    table.put(key("r", "d"), token("d"), soon, MINUTE * 2);
    assert_eq!(table.get(&key("r", "c"), MINUTE * 2), Some(token("c")));
    // Putting a key again needs no room.
    table.put(key("r", "d"), token("e"), soon, MINUTE * 2);
    assert_eq!(
        (table.len(), table.get(&key("r", "d"), MINUTE * 2)),
        (2, Some(token("e")))
    );

    let none = TokenTable::new(0);
    none.put(key("r", "a"), token("a"), soon, Duration::ZERO);
    assert!(none.is_empty());
}

#[test]
fn an_expired_token_leaves_behind_how_it_was_got() {
    let table = TokenTable::new(1);
    table.put(key("r", "a"), token("t"), None, Duration::ZERO);
    assert!(matches!(
        table.look_up(&key("r", "b"), MINUTE),
        Cached::Unknown
    ));
    let found = table.look_up(&key("r", "a"), MINUTE);
    assert!(matches!(found, Cached::Expired(known) if known == key("r", "a")));
    // It does not come back to life if the clock is turned back.
    assert_eq!(table.get(&key("r", "a"), Duration::ZERO), None);
}

#[test]
fn a_renewed_token_is_not_discarded_with_the_old_one() {
    let table = TokenTable::new(1);
    let now = Duration::ZERO;
    table.put(key("r", "a"), token("new"), None, now);
    table.discard(&key("r", "a"), &token("old"));
    assert_eq!(table.get(&key("r", "a"), now), Some(token("new")));
    table.discard(&key("r", "a"), &token("new"));
    assert_eq!(table.get(&key("r", "a"), now), None);
}

#[test]
fn clones_share_one_table() {
    let table = TokenTable::new(1);
    let clone = table.clone();
    clone.put(key("r", "a"), token("t"), None, Duration::ZERO);
    assert_eq!(table.get(&key("r", "a"), Duration::ZERO), Some(token("t")));
    assert_eq!(format!("{table:?}"), "TokenTable(1 keys)");
}

fn key(registry: &str, repository: &str) -> TokenKey {
    let registry = format!("https://{registry}.example").parse().unwrap();
    let realm = Realm::parse(b"https://auth.example/token").unwrap();
    TokenKey::new(registry, realm, "s", &ScopeSet::pull(repository), None)
}

fn token(text: &str) -> Token {
    Token::new(text.to_owned()).unwrap()
}
