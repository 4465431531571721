//! What the other side does, as text: one answer a line.
//!
//! ```text
//! script  = setup *( LF answer )
//! setup   = *( letter )                            ; see Setup
//! answer  = [ 1*DIGIT ] [ "~" ] ( challenge / drop / redirect / token / status )
//! challenge = "C" [ field *( "|" field ) ]         ; a 401 with these WWW-Authenticate fields
//! drop      = "D"                                  ; none: the connection breaks
//! redirect  = "L" location                         ; a 307
//! token     = "T" ( [ 1*DIGIT ] / json )           ; a 200 with a fresh token of this lifetime,
//!                                                  ; or with this very body
//! status    = "S" 3DIGIT                           ; any other answer, with an empty body
//! ```
//!
//! Digits in front let so many seconds pass before the answer; a `~` lets the other call go on
//! after it. Whoever asks when the last line is spent hears the first again, so a short script is a
//! server that never gives in.

use std::time::Duration;

use longshore_auth::Credential;
use longshore_origin::Secret;

/// What the user has, and where they go.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) home: &'static str,
    pub(super) credential: Option<Credential>,
    /// Whether refresh tokens are wanted, too (`o`).
    pub(super) offline: bool,
    /// Whether there is a token cache (`c`).
    pub(super) cache: bool,
    /// Whether the registry is configured as plain http (`p`).
    pub(super) plain_http: bool,
    /// Whether there is a public suffix list (`s`).
    pub(super) suffixes: bool,
    /// Whether [`ALLOWED_REALM`] is allowed (`a`).
    pub(super) allow_realm: bool,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer<'a> {
    pub(super) pause: Duration,
    pub(super) other_next: bool,
    pub(super) what: What<'a>,
}

#[derive(Clone, Debug)]
pub(super) enum What<'a> {
    Challenge(Vec<&'a [u8]>),
    Drop,
    Redirect(&'a [u8]),
    Status(u16),
    Token(&'a [u8]),
}

/// The script as it is played.
#[derive(Debug)]
pub(super) struct Script<'a> {
    pub(super) setup: Setup,
    lines: Vec<&'a [u8]>,
    next: usize,
}

impl<'a> Script<'a> {
    /// Reads a script; `None` if its peer knows a secret before it was told.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        // A backslash before any letter means that letter (RFC 9110 §5.6.4).
        let unescaped: Vec<u8> = data.iter().copied().filter(|byte| *byte != b'\\').collect();
        let knows = |secret: &str| {
            let mut windows = data
                .windows(secret.len())
                .chain(unescaped.windows(secret.len()));
            windows.any(|window| window.eq_ignore_ascii_case(secret.as_bytes()))
        };
        if SECRETS.into_iter().chain([TOKEN_MARK]).any(knows) {
            return None;
        }
        let mut lines = data.split(|byte| *byte == b'\n');
        let setup = Setup::read(lines.next().unwrap_or_default());
        Some(Self {
            setup,
            lines: lines.collect(),
            next: 0,
        })
    }

    /// The next answer.
    pub(super) fn answer(&mut self) -> Answer<'a> {
        let at = self.next.checked_rem(self.lines.len()).unwrap_or_default();
        self.next += 1;
        Answer::read(self.lines.get(at).copied().unwrap_or_default())
    }
}

impl Setup {
    fn read(letters: &[u8]) -> Self {
        let has = |letter: u8| letters.contains(&letter);
        let home = HOMES.into_iter().find(|(letter, _)| has(*letter));
        Self {
            home: home.map_or("https://registry.longshore.test", |(_, home)| home),
            credential: match () {
                () if has(b'b') => {
                    Credential::basic(USERNAME, Secret::new(PASSWORD.to_owned())).ok()
                }
                () if has(b'i') => {
                    Some(Credential::IdentityToken(Secret::new(IDENTITY.to_owned())))
                }
                () if has(b't') => Some(Credential::Token(Secret::new(GIVEN.to_owned()))),
                () => None,
            },
            offline: has(b'o'),
            cache: has(b'c'),
            plain_http: has(b'p'),
            suffixes: has(b's'),
            allow_realm: has(b'a'),
        }
    }
}

impl<'a> Answer<'a> {
    fn read(line: &'a [u8]) -> Self {
        let (seconds, line) = number(line);
        let (other_next, line) = match line {
            [b'~', rest @ ..] => (true, rest),
            line => (false, line),
        };
        let what = match line {
            [b'C', fields @ ..] => What::Challenge(fields.split(|b| *b == b'|').collect()),
            [b'D', ..] => What::Drop,
            [b'L', location @ ..] => What::Redirect(location),
            [b'T', body @ ..] => What::Token(body),
            [b'S', digits @ ..] => What::Status(u16::try_from(number(digits).0).unwrap_or(503)),
            _ => What::Status(404),
        };
        Self {
            pause: Duration::from_secs(seconds),
            other_next,
            what,
        }
    }
}

/// The number at the start, as far as it fits, and the rest.
pub(super) fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let number = digits.iter().fold(0_u64, |n, d| {
        n.saturating_mul(10).saturating_add(u64::from(d - b'0'))
    });
    (number.min(PAUSE_LIMIT_SECONDS), rest)
}

const HOMES: [(u8, &str); 3] = [
    (b'1', "http://registry.longshore.test"),
    (b'2', "http://localhost:5000"),
    (b'3', "https://192.0.2.7:5000"),
];

/// What `--allow-realm` names where the setup has it.
pub(super) const ALLOWED_REALM: &str = "https://tokens.elsewhere.test";

/// A year, so that no sum of pauses is more than a clock can show.
const PAUSE_LIMIT_SECONDS: u64 = 365 * 24 * 3600;

const USERNAME: &str = "pilot";
const PASSWORD: &str = "hunter2-quay";
/// `pilot:hunter2-quay`, RFC 7617 §2.
pub(super) const BASIC: &str = "cGlsb3Q6aHVudGVyMi1xdWF5";
pub(super) const IDENTITY: &str = "identity-7f3a91";
/// `<token>:identity-7f3a91`, for a realm that refuses POST.
const IDENTITY_BASIC: &str = "PHRva2VuPjppZGVudGl0eS03ZjNhOTE=";
pub(super) const GIVEN: &str = "given-5c20be";

/// Every form in which a secret of the user could leave.
pub(super) const SECRETS: [&str; 5] = [PASSWORD, BASIC, IDENTITY, IDENTITY_BASIC, GIVEN];

/// How the tokens begin that a script has issued by `T`.
pub(super) const TOKEN_MARK: &str = "issued-";
