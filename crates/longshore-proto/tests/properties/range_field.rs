//! The fields that name ranges.

use longshore_proto::range::{ContentRange, RANGES_LIMIT, RangeField};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{range, range_set};

proptest! {
    #[test]
    fn ranges_print_and_parse(range in range(), total in 1..i64::MAX as u64) {
        let field = RangeField::parse(range.to_string().as_bytes());
        prop_assert_eq!(field, RangeField::Set(range.into()));
        if let Some((first, last)) = range.within(total) {
            prop_assert!(first <= last && last < total);
            let part = ContentRange::Part { first, last, total: Some(total) };
            prop_assert_eq!(ContentRange::parse(part.to_string().as_bytes()), Some(part));
        }
    }

    #[test]
    fn sets_print_and_parse(set in range_set()) {
        let field = RangeField::parse(set.to_string().as_bytes());
        prop_assert_eq!(field, RangeField::Set(set));
    }

    #[test]
    fn no_bytes_make_a_range_panic(bytes in vec(any::<u8>(), 0..40)) {
        if let RangeField::Set(set) = RangeField::parse(&bytes) {
            prop_assert!((1..=RANGES_LIMIT).contains(&set.ranges().len()));
        }
        if let Some(ContentRange::Part { first, last, total }) = ContentRange::parse(&bytes) {
            prop_assert!(first <= last && total.is_none_or(|total| last < total));
        }
    }
}
