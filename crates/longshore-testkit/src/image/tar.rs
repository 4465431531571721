//! A tar archive of one file, in the `ustar` format of POSIX.1-1988.

use bytes::Bytes;

use crate::content::BlobContent;

/// An archive with `file` under `name`; mode 0644, owner root, time 0.
pub(super) fn archive(name: &str, file: BlobContent) -> BlobContent {
    let length = file.length();
    let padding = length.next_multiple_of(BLOCK_BYTES) - length;
    // Two blocks of zeros end an archive.
    BlobContent::from(head(name, length))
        .then(file)
        .then(BlobContent::zeros(padding + 2 * BLOCK_BYTES))
}

/// The header block: fields of fixed width, numbers in octal text.
fn head(name: &str, length: u64) -> Bytes {
    // 11 octal digits end at 8 GiB; above that GNU and POSIX tools read 12 without a terminator.
    let length = if length < 1 << 33 {
        format!("{length:011o}\0")
    } else {
        format!("{length:012o}")
    };
    let before = format!("{name:\0<100}0000644\x000000000\x000000000\0{length}00000000000\0");
    let after = format!(
        "0{:\0<100}ustar\x0000{:\0<32}{:\0<32}{:\0<183}",
        "", "root", "root", ""
    );
    // The checksum counts its own eight bytes as blanks.
    let sum: u32 = before
        .bytes()
        .chain(after.bytes())
        .map(u32::from)
        .sum::<u32>()
        + 8 * 0x20;
    Bytes::from(format!("{before}{sum:06o}\0 {after}"))
}

const BLOCK_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_whole_blocks() {
        for length in [0, 1, 511, 512, 513] {
            let archive = archive("a", BlobContent::random(1, length)).bytes();
            assert_eq!(archive.len() % 512, 0, "{length}");
            assert_eq!(&archive[257..262], b"ustar");
            assert_eq!(
                archive[512..512 + length as usize],
                BlobContent::random(1, length).bytes()
            );
        }
    }
}
