//! What is asked, and what the other side does.
//!
//! ```text
//! script  = setup *( LF event )
//! setup   = *( letter )                      ; see Setup
//! event   = [ 1*DIGIT ] *flag ( "S" head / "E" failure )
//! flag    = "-"                              ; the authenticator has nothing new to say
//!         / "!" / "?"                        ; the peer was at a private or an unknown address
//!         / "*"                              ; the request carried a secret
//!         / "^" / "%"                        ; the body says that the token expired, or that there
//!                                            ; were too many requests
//! failure = "f" / "s" / "t"                  ; fatal, stale, transient
//! ```
//!
//! The digits are the bits of the jitter; heads are those of `answer.rs`.

use std::time::Duration;

use http::response::Parts;
use longshore_model::Digest;
use longshore_origin::{AddressClass, AddressRange, Origin, Peer};
use longshore_proto::Host;
use longshore_proto::call::{Ask, FailureClass, Take};
use longshore_proto::endpoint::{
    BlobRequest, CatalogueRequest, Endpoint, ManifestRequest, PageQuery, Read, TagsRequest,
};
use longshore_proto::retry::Jitter;

use crate::answer::{head, number};

/// What is asked, and whom.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) ask: Ask,
    /// A mirror (`m`, or `x` with a prefix), and the registry (`1` to `4`).
    pub(super) hosts: Vec<Host>,
    /// Whether redirects may lead to [`ALLOWED`] (`w`).
    pub(super) allowed: bool,
    /// Another number of attempts than the default (`a`).
    pub(super) attempts: Option<u32>,
}

/// What comes of a request.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) jitter: Jitter,
    pub(super) peer: Peer,
    /// Whether the authenticator has nothing new to say, should it be asked.
    pub(super) denies: bool,
    /// Whether the request carried a secret.
    pub(super) secret: bool,
    /// The body of a refusal.
    pub(super) body: &'static [u8],
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Head(Parts),
    Fails(FailureClass),
}

impl Setup {
    pub(super) fn read(letters: &[u8]) -> Self {
        let has = |letter: u8| letters.contains(&letter);
        let home = HOMES.into_iter().find(|(letter, _)| has(*letter));
        let allowed = has(b'w');
        let host = |origin: &str| {
            let allow = ALLOWED.parse::<AddressRange>();
            let allow = allow.into_iter().filter(|_| allowed).collect();
            Host::new(parsed::<Origin>(origin)).with_allowed(allow)
        };
        let mirror = host("https://mirror.longshore.test");
        let mirror = match (has(b'm'), has(b'x')) {
            (_, true) => Some(mirror.with_prefix(parsed("hub"))),
            (true, false) => Some(mirror),
            (false, false) => None,
        };
        let registry = host(home.map_or("https://registry.longshore.test", |(_, home)| home));
        Self {
            ask: ask(letters),
            hosts: mirror.into_iter().chain([registry]).collect(),
            allowed,
            attempts: has(b'a').then_some(2),
        }
    }
}

/// A blob (`b`), the repositories (`c`), the API version (`p`), the tags (`t`) or else a manifest,
/// or the head alone (`h`); after a wait (`d`).
fn ask(letters: &[u8]) -> Ask {
    let has = |letter: u8| letters.contains(&letter);
    let read = if has(b'h') { Read::Head } else { Read::Get };
    let name = parsed("tools/anchor");
    let page = PageQuery::first(Some(9), None);
    let document = Take::Document { limit: 4096 };
    let (endpoint, take) = match () {
        () if has(b'b') => {
            let request = BlobRequest::new(read, name, Digest::sha256(b"keel"));
            (Endpoint::Blob(request), Take::Stream)
        }
        () if has(b'c') => (Endpoint::Catalogue(CatalogueRequest::new(page)), document),
        () if has(b'p') => (Endpoint::Ping, Take::Nothing),
        () if has(b't') => (Endpoint::Tags(TagsRequest::new(name, page)), document),
        () => {
            let request = ManifestRequest::new(read, name, parsed("1"));
            (Endpoint::Manifest(request), document)
        }
    };
    let mut ask = Ask::new(endpoint, take);
    if has(b'd') {
        ask.delay = Duration::from_secs(7);
    }
    ask
}

impl Event {
    pub(super) fn read(line: &[u8]) -> Self {
        let (bits, mut line) = number(line);
        let (mut denies, mut secret, mut body) = (false, false, &b""[..]);
        let mut class = Some(AddressClass::Public);
        loop {
            line = match line {
                [b'-', rest @ ..] => {
                    denies = true;
                    rest
                }
                [b'!', rest @ ..] => {
                    class = Some(AddressClass::Private);
                    rest
                }
                [b'?', rest @ ..] => {
                    class = None;
                    rest
                }
                [b'*', rest @ ..] => {
                    secret = true;
                    rest
                }
                [b'^', rest @ ..] => {
                    body = EXPIRED;
                    rest
                }
                [b'%', rest @ ..] => {
                    body = LIMITED;
                    rest
                }
                _ => break,
            };
        }
        let what = match line {
            [b'S', text @ ..] => What::Head(head(text)),
            [b'E', b's'] => What::Fails(FailureClass::Stale),
            [b'E', b't'] => What::Fails(FailureClass::Transient),
            _ => What::Fails(FailureClass::Fatal),
        };
        Self {
            jitter: Jitter::new(u32::try_from(bits).unwrap_or(u32::MAX)),
            peer: Peer::new(class, false),
            denies,
            secret,
            body,
            what,
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

const HOMES: [(u8, &str); 4] = [
    (b'1', "http://registry.longshore.test"),
    (b'2', "http://localhost:5000"),
    (b'3', "https://192.0.2.7:5000"),
    (b'4', "https://10.1.2.3"),
];

/// Bodies of refusals.
pub(super) const EXPIRED: &[u8] = b"the token expired";
pub(super) const LIMITED: &[u8] = b"too many requests";

/// Where redirects may lead although the addresses are private.
pub(super) const ALLOWED: &str = "10.0.0.0/8";
