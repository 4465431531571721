//! Lists and the links between their pages.

use longshore_proto::endpoint::{
    ListAnswer, read_repositories, read_tags, write_repositories, write_tags,
};
use longshore_proto::link;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{head, name};

proptest! {
    #[test]
    fn pages_of_names_read_back(repository in name(), names in vec("\\PC{1,20}", 0..9)) {
        prop_assert_eq!(&read_tags(&write_tags(&repository, &names)).unwrap(), &names);
        prop_assert_eq!(&read_repositories(&write_repositories(&names)).unwrap(), &names);
    }

    #[test]
    fn a_page_that_was_written_reads_back(
        next in proptest::option::of("/v2/[a-z]{1,5}/tags/list\\?last=[a-z,;]{0,9}"),
        filtered: bool,
    ) {
        let mut answer = ListAnswer::last("application/json");
        answer.next = next;
        answer.filtered = filtered;
        let (status, headers) = answer.write();
        prop_assert_eq!(ListAnswer::read(&head(status, headers)).unwrap(), answer);
    }

    #[test]
    fn no_bytes_make_a_link_panic(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(Some(target)) = link::next([bytes.as_slice()]) {
            prop_assert!(target.len() <= bytes.len());
        }
    }

    #[test]
    fn a_link_is_found_behind_any_other(
        target in "[a-z/?=,;]{0,20}",
        title in "[ -!#-\\[\\]-~]{0,9}",
    ) {
        let field = format!("<x>; title=\"{title}\", <{target}>; title=\"{title}\"; rel=next");
        prop_assert_eq!(link::next([field.as_bytes()]), Ok(Some(target.as_bytes())));
    }
}
