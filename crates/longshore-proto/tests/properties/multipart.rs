//! Answers with several parts of a blob.

use http::StatusCode;
use longshore_model::Digest;
use longshore_proto::endpoint::{BlobBody, BlobRequest, MultipartPiece, Read};
use longshore_proto::range::{ByteRange, ContentRange, RangeSet, RangesError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::name;

/// Short ranges, most of them within short content.
fn near() -> impl Strategy<Value = ByteRange> {
    let position = 0..70_u64;
    prop_oneof![
        1 => position.clone().prop_map(ByteRange::From),
        8 => (position, 0..6_u64).prop_map(|(first, more)| ByteRange::Span(first, first + more)),
        1 => (0..5_u64).prop_map(ByteRange::Suffix),
    ]
}

/// Content that has much of what a delimiter consists of.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let byte = proptest::sample::select(b"\r\n-0aC: ".as_slice());
    vec(prop_oneof![byte, any::<u8>()], 0..64)
}

/// The parts of a body, each with the position that its head states, as a client reads them that
/// knows RFC 2046 §5.1.1 and no lengths.
fn read_parts(body: &[u8], boundary: &str, total: u64) -> Vec<(u64, Vec<u8>)> {
    let delimiter = format!("\r\n--{boundary}");
    // The line end that belongs to the first delimiter is that of the head of the message.
    let body = [b"\r\n", body].concat();
    let mut pieces = split(&body, delimiter.as_bytes());
    assert_eq!(pieces.remove(0), b"", "text before the first part");
    assert_eq!(pieces.pop().unwrap(), b"--\r\n", "the end");
    let parts = pieces.into_iter().map(|piece| {
        let (head, content) = piece.split_at(find(&piece, b"\r\n\r\n").unwrap());
        let head = String::from_utf8(head.to_vec()).unwrap();
        let [_, media_type, range] = head.split("\r\n").collect::<Vec<_>>()[..] else {
            panic!("{head}")
        };
        assert_eq!(media_type, "Content-Type: application/octet-stream");
        let range = range.strip_prefix("Content-Range: ").unwrap();
        let content = content.strip_prefix(b"\r\n\r\n").unwrap().to_vec();
        match ContentRange::parse(range.as_bytes()) {
            Some(ContentRange::Part {
                first,
                last,
                total: Some(told),
            }) if told == total => {
                assert_eq!(last - first + 1, content.len() as u64, "{range}");
                (first, content)
            }
            other => panic!("{other:?}"),
        }
    });
    parts.collect()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn split(text: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, separator) {
        let (piece, after) = rest.split_at(at);
        pieces.push(piece.to_vec());
        rest = after.strip_prefix(separator).unwrap();
    }
    pieces.push(rest.to_vec());
    pieces
}

proptest! {
    #[test]
    fn a_reader_finds_exactly_the_bytes_of_the_parts(
        (name, content) in (name(), content()),
        ranges in vec(near(), 1..9),
    ) {
        let length = content.len() as u64;
        let digest = Digest::sha256(&content);
        let mut request = BlobRequest::new(Read::Get, name, digest);
        request.range = RangeSet::new(ranges.clone());
        // The bytes that each range names, by their positions.
        let positions = |range: &ByteRange| -> Vec<u64> {
            let is_named = |at: &u64| match *range {
                ByteRange::From(first) => *at >= first,
                ByteRange::Span(first, last) => (first..=last).contains(at),
                ByteRange::Suffix(count) => length - at <= count,
            };
            (0..length).filter(is_named).collect()
        };
        let expected: Vec<Vec<u64>> = ranges.iter().map(positions).collect();
        let expected: Vec<_> = expected.into_iter().filter(|part| !part.is_empty()).collect();
        let mut all = expected.concat();
        all.sort_unstable();
        let is_overlapping = all.windows(2).any(|pair| pair[0] == pair[1]);
        let expected: Vec<_> = expected.iter().map(|part| {
            let bytes = part.iter().map(|at| content[usize::try_from(*at).unwrap()]);
            (part[0], bytes.collect::<Vec<u8>>())
        }).collect();

        let answer = request.answer(length);
        if is_overlapping {
            let refusal = answer.unwrap_err();
            prop_assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let message = Some(RangesError::Overlapping.to_string());
            prop_assert_eq!(&refusal.body.entries[0].message, &message);
            return Ok(());
        }
        let (head, body) = answer.unwrap().into_parts();
        let at = |position| usize::try_from(position).unwrap();
        let parts = match body {
            BlobBody::Bytes(bytes) if bytes.is_empty() => {
                prop_assert_eq!(head.status, StatusCode::RANGE_NOT_SATISFIABLE);
                vec![]
            }
            BlobBody::Bytes(bytes) => {
                prop_assert_eq!(head.status, StatusCode::PARTIAL_CONTENT);
                vec![(bytes.start, content[at(bytes.start)..at(bytes.end)].to_vec())]
            }
            BlobBody::Multipart(parts) => {
                prop_assert!(expected.len() > 1);
                let (boundary, told) = (parts.boundary().to_owned(), parts.length());
                let body: Vec<u8> = parts.flat_map(|piece| match piece {
                    MultipartPiece::Delimiter(text) => text.to_vec(),
                    MultipartPiece::Content(range) => {
                        content[at(range.start)..at(range.end)].to_vec()
                    }
                }).collect();
                prop_assert_eq!(told, body.len() as u64);
                let length = head.headers["content-length"].to_str().unwrap();
                prop_assert_eq!(length, body.len().to_string());
                read_parts(&body, &boundary, content.len() as u64)
            }
        };
        prop_assert_eq!(parts, expected);
    }
}
