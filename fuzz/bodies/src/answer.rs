//! What a server answers, as text.
//!
//! ```text
//! head = 3DIGIT *( "|" name ":" value )
//! ```

use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Reads a head; a status that is none is 404, and a field that no header can hold is left out, as
/// a transport would.
pub(crate) fn head(text: &[u8]) -> Parts {
    let mut parts = text.split(|byte| *byte == b'|');
    let status = parts.next().unwrap_or_default();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(status).unwrap_or(StatusCode::NOT_FOUND);
    for field in parts {
        let colon = field.iter().position(|byte| *byte == b':');
        let (name, value) = field.split_at(colon.unwrap_or(field.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response.into_parts().0
}

/// The number at the start, as far as it fits, and the rest.
pub(crate) fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let number = digits.iter().fold(0_u64, |n, d| {
        n.saturating_mul(10).saturating_add(u64::from(d - b'0'))
    });
    (number, rest)
}

/// The lines of a script, from the top again when they are spent: a short script is a server that
/// never gives in.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    lines: Vec<&'a [u8]>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// The first line, and the others.
    pub(crate) fn read(data: &'a [u8]) -> (&'a [u8], Self) {
        let mut lines = data.split(|byte| *byte == b'\n');
        let setup = lines.next().unwrap_or_default();
        let lines = lines.collect();
        (setup, Self { lines, next: 0 })
    }

    /// The line that is due.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let at = self.next.checked_rem(self.lines.len()).unwrap_or_default();
        self.next += 1;
        self.lines.get(at).copied().unwrap_or_default()
    }
}
