//! gzip without compression: RFC 1952 around the stored blocks of RFC 1951 §3.2.4.

/// `content` as a gzip member; the same bytes for the same content, always.
pub(crate) fn stored(content: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut chunks = content.chunks(usize::from(u16::MAX)).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let length = chunk.len() as u16;
        let last = chunks.peek().is_none();
        member.push(u8::from(last));
        member.extend(length.to_le_bytes());
        member.extend((!length).to_le_bytes());
        member.extend(chunk);
        if last {
            break;
        }
    }
    member.extend(crc32(content).to_le_bytes());
    // ISIZE is the length modulo 2^32.
    member.extend((content.len() as u32).to_le_bytes());
    member
}

/// RFC 1952 §8.
fn crc32(content: &[u8]) -> u32 {
    let table = std::array::from_fn::<u32, 256, _>(|index| {
        (0..8).fold(index as u32, |word, _| {
            (word >> 1) ^ (0xedb8_8320 * (word & 1))
        })
    });
    !content.iter().fold(!0, |crc, byte| {
        let entry = table
            .get(usize::from(crc as u8 ^ byte))
            .copied()
            .unwrap_or_default();
        entry ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn nothing_is_one_empty_block() {
        assert_eq!(stored(b"")[10..15], [1, 0, 0, 0xff, 0xff]);
        assert_eq!(stored(&vec![0; 65_535]).len(), 10 + 5 + 65_535 + 8);
        assert_eq!(stored(&vec![0; 65_536]).len(), 10 + 5 + 5 + 65_536 + 8);
    }
}
