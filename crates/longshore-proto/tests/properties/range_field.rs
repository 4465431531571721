//! The fields that name ranges.

use longshore_proto::range::{ContentRange, RangeField};
use proptest::collection::vec;
use proptest::prelude::*;

use super::range;

proptest! {
    #[test]
    fn ranges_print_and_parse(range in range(), total in 1..i64::MAX as u64) {
        let field = RangeField::parse(range.to_string().as_bytes());
        prop_assert_eq!(field, RangeField::One(range));
        if let Some((first, last)) = range.within(total) {
            prop_assert!(first <= last && last < total);
            let part = ContentRange::Part { first, last, total: Some(total) };
            prop_assert_eq!(ContentRange::parse(part.to_string().as_bytes()), Some(part));
        }
    }

    #[test]
    fn no_bytes_make_a_range_panic(bytes in vec(any::<u8>(), 0..40)) {
        let _ = RangeField::parse(&bytes);
        if let Some(ContentRange::Part { first, last, total }) = ContentRange::parse(&bytes) {
            prop_assert!(first <= last && total.is_none_or(|total| last < total));
        }
    }
}
