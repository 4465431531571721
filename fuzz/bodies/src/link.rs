//! `Link`, against a second reader written from the grammar.

use longshore_proto::endpoint::ListAnswer;
use longshore_proto::link::{LINK_TARGET_LIMIT_BYTES, LinkError, next};

use crate::shown::is_plain;

mod grammar;

use grammar::{Link, links};

/// The longest field shown to the second reader, which tries every way a rule can match.
const NAIVE_LIMIT_BYTES: usize = 256;

/// Reads each line as one `Link` field of the same answer.
///
/// # Panics
///
/// When the two readers disagree, when the fields read otherwise as one, when a target does not
/// survive being written and read again, or when an error points outside of its field.
pub fn link(data: &[u8]) {
    let fields: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let read = next(fields.iter().copied());
    match &read {
        Ok(None) => {}
        Ok(Some(target)) => {
            assert!(target.len() <= LINK_TARGET_LIMIT_BYTES, "LI");
            reads_back(target);
        }
        Err(error) => {
            if let LinkError::Malformed { at } = error {
                assert!(fields.iter().any(|field| *at <= field.len()), "byte {at}");
            }
            is_plain(error);
        }
    }
    for field in &fields {
        agrees_with_the_grammar(field);
    }
    is_one_list(&fields, read);
}

/// A field follows the grammar exactly when it is read, and then the first `rel` counts.
fn agrees_with_the_grammar(field: &[u8]) {
    if field.len() > NAIVE_LIMIT_BYTES {
        return;
    }
    let expected = links(field).map(|links| {
        let mut targets = links.iter().filter(|link| is_next(link)).map(|l| l.target);
        let first = targets.next();
        (first, targets.all(|target| Some(target) == first))
    });
    match (next([field]), expected) {
        (Ok(target), Some((first, true))) => assert_eq!(target, first),
        // Whatever is wrong first, from left to right, is what is told.
        (Err(LinkError::Several), Some((_, false)) | None)
        | (Err(LinkError::Malformed { .. }), None) => {}
        (read, expected) => panic!("we read {read:?}, the grammar {expected:?}"),
    }
}

/// RFC 8288 §3.3: the first `rel` counts, in any case, and may name several relations.
fn is_next(link: &Link<'_>) -> bool {
    let mut params = link.params.iter();
    let rel = params.find(|(name, _)| name.eq_ignore_ascii_case(b"rel"));
    rel.is_some_and(|(_, value)| {
        let mut relations = value.split(u8::is_ascii_whitespace);
        relations.any(|relation| relation.eq_ignore_ascii_case(b"next"))
    })
}

/// RFC 9110 §5.3: several fields of one name are one list.
fn is_one_list(fields: &[&[u8]], read: Result<Option<&[u8]>, LinkError>) {
    if fields.iter().all(|field| next([*field]).is_ok()) {
        assert_eq!(next([fields.join(&b","[..]).as_slice()]), read);
    }
}

/// What a server of ours writes is what a client of ours reads.
fn reads_back(target: &[u8]) {
    let field = [b"<", target, b">; rel=\"next\""].concat();
    assert_eq!(next([field.as_slice()]), Ok(Some(target)));
    let Ok(text) = std::str::from_utf8(target) else {
        return;
    };
    let answer = ListAnswer::last("application/json").with_next(text);
    let (status, headers) = answer.write();
    // A target that no header can hold is not written.
    if headers.contains_key(http::header::LINK) {
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        assert_eq!(
            ListAnswer::read(&response.into_parts().0).as_ref(),
            Ok(&answer)
        );
    }
}
