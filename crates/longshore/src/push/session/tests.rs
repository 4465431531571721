use super::*;

fn host(origin: &str) -> Host {
    Host::new(origin.parse().unwrap())
}

const TEXT: &str =
    "1 https://r.example.com home 5 https://r.example.com/v2/app/blobs/uploads/7?_state=a%2Fb%3D";

#[test]
fn a_session_is_read_as_it_was_written() {
    let elsewhere = "1 https://r.example.com private 0 https://store.example.net/7";
    for text in [TEXT, elsewhere] {
        let session = UploadSession::from_secret_text(text).unwrap();
        assert_eq!(session.to_secret_text().expose(), text);
        let (place, min_chunk) = session.place(&host("https://r.example.com"), 3).unwrap();
        assert_eq!(UploadSession::new(&place, min_chunk), session);
    }
}

#[test]
fn other_text_is_no_session() {
    for text in [
        "",
        "1",
        "2 https://r.example.com home 5 https://r.example.com/7",
        "1 https://r.example.com here 5 https://r.example.com/7",
        "1 https://r.example.com home -5 https://r.example.com/7",
        "1 https://r.example.com home 5 ",
        "1 https://r.example.com home 5 https://r.example.com/7\n",
        "1 https://r.example.com home 5 https://r.example.com/7 8",
        "1 r.example.com/app home 5 https://r.example.com/7",
    ] {
        assert_eq!(UploadSession::from_secret_text(text), None, "{text:?}");
    }
}

// OU3
#[test]
fn ou3_debug_shows_nothing_of_the_location() {
    let shown = format!("{:?}", UploadSession::from_secret_text(TEXT).unwrap());
    assert!(!shown.contains("uploads"), "{shown}");
    assert!(!shown.contains("state"), "{shown}");
    assert!(shown.contains("[redacted]"), "{shown}");
}

// RD2, RD4
#[test]
fn rd4_a_session_is_continued_only_where_its_registry_may_lead() {
    let registry = "https://r.example.com";
    for (at, trust, location, expected) in [
        (registry, "home", "https://r.example.com/7", Some(true)),
        (registry, "public", "https://r.example.com/7", Some(false)),
        (registry, "home", "https://evil.example.net/7", Some(false)),
        (registry, "home", "http://evil.example.net/7", None),
        (registry, "home", "https://127.0.0.1/7", None),
        (
            registry,
            "home",
            "https://user:secret@r.example.com/7",
            None,
        ),
        (
            "https://other.example.com",
            "home",
            "https://r.example.com/7",
            None,
        ),
    ] {
        let text = format!("1 {registry} {trust} 0 {location}");
        let session = UploadSession::from_secret_text(&text).unwrap();
        let place = session.place(&host(at), 0);
        let found = place.map(|(place, _)| place.hop().is_home());
        assert_eq!(found, expected, "{text}");
    }
}
