//! The tests that every driver of records passes, as plain functions over empty records.
//!
//! The test of a driver is one line: `conformance::check(|| MyRecords::new()).await`. Properties of
//! a single driver, such as files or lost connections, need separate tests.

use std::pin::Pin;
use std::time::Duration;

use longshore_model::{Digest, MediaType, Tag};

use super::{ContentRecord, DynRecords, ListKey, ListRecord, Records, RecordsError, TagRecord};
use crate::name::ImageName;

/// The outcome of a test. A test panics if a rule is broken.
pub type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), RecordsError>> + Send + 'a>>;

/// The test of one rule, on empty records.
pub type Test = fn(&DynRecords) -> Outcome<'_>;

macro_rules! tests {
    ($($name:ident,)*) => {
        /// Every rule by its name.
        pub const TESTS: &[(&str, Test)] =
            &[$((stringify!($name), |records| Box::pin($name(records)))),*];
    };
}

tests! {
    what_is_absent_is_no_error,
    content_is_read_back_whole,
    content_keeps_its_first_time_and_its_last_validation,
    forgotten_content_leaves_marks_and_tags,
    ca6_a_mark_belongs_to_one_repository,
    a_mark_is_removed_alone,
    a_tag_is_read_back,
    tags_differ_by_case_and_repository,
    ca8_a_tag_never_moves_back,
    ca8_a_refreshed_tag_keeps_its_digest,
    a_dropped_tag_may_be_set_again_at_an_earlier_time,
    lists_are_replaced_whole,
    images_are_sorted_and_have_a_mark_or_a_tag,
    an_image_has_its_tags,
    names_that_look_alike_are_kept_apart,
    digests_of_any_algorithm_are_kept_apart,
}

/// Runs every test, each on new records made by `empty`.
///
/// # Panics
///
/// When the driver breaks a rule; the message names it.
pub async fn check<R: Records>(empty: impl Fn() -> R) {
    for (name, test) in TESTS {
        let outcome = test(&DynRecords::new(empty())).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

/// A repository of the upstream `r.example`.
fn image(repository: &str) -> ImageName {
    image_of("r.example", repository)
}

fn image_of(upstream: &str, repository: &str) -> ImageName {
    let (Ok(upstream), Ok(repository)) = (upstream.parse(), repository.parse()) else {
        panic!("the names in the tests follow the grammar");
    };
    ImageName::new(upstream, repository)
}

fn tag(text: &str) -> Tag {
    let Ok(tag) = text.parse() else {
        panic!("the tags in the tests follow the grammar");
    };
    tag
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn what_is_absent_is_no_error(records: &DynRecords) -> Result<(), RecordsError> {
    let (image, tag, digest) = (image("a"), tag("1"), Digest::sha256(b""));
    assert_eq!(records.content(&digest).await?, None);
    assert!(!records.contains(&image, &digest).await?);
    assert_eq!(records.tag(&image, &tag).await?, None);
    assert!(!records.refresh_tag(&image, &tag, &digest, at(1)).await?);
    assert_eq!(records.list(&image, &ListKey::Tags).await?, None);
    assert_eq!(records.images().await?, []);
    assert_eq!(records.image(&image).await?, None);
    // Removing an absent record changes nothing.
    records.forget_content(&digest).await?;
    records.unmark(&image, &digest).await?;
    records.drop_tag(&image, &tag).await?;
    assert_eq!(records.images().await?, []);
    assert_eq!(records.image(&image).await?, None);
    Ok(())
}

async fn content_is_read_back_whole(records: &DynRecords) -> Result<(), RecordsError> {
    let blob = ContentRecord::new(Digest::sha256(b"blob"), None, u64::MAX, Duration::MAX);
    let document = Some(MediaType::OCI_MANIFEST);
    let mut manifest = ContentRecord::new(Digest::sha256(b"{}"), document, 2, Duration::new(7, 9));
    manifest.content_key = Some(Box::new([0, 1, 0xff]));
    for record in [&blob, &manifest] {
        records.put_content(record.clone()).await?;
    }
    for record in [blob, manifest] {
        assert_eq!(records.content(&record.digest).await?, Some(record));
    }
    Ok(())
}

async fn content_keeps_its_first_time_and_its_last_validation(
    records: &DynRecords,
) -> Result<(), RecordsError> {
    let digest = Digest::sha256(b"");
    let record = |verified| ContentRecord::new(digest.clone(), None, 0, at(verified));
    for (verified, first, last) in [(20, 20, 20), (30, 20, 30), (10, 10, 30)] {
        records.put_content(record(verified)).await?;
        let found = records.content(&digest).await?;
        let found = found.map(|found| (found.first_cached, found.last_validated));
        assert_eq!(found, Some((at(first), at(last))));
    }
    let mut keyed = record(30);
    keyed.content_key = Some(Box::new([7]));
    records.put_content(keyed).await?;
    let found = records.content(&digest).await?;
    let key = found.and_then(|found| found.content_key);
    assert_eq!(key.as_deref(), Some(&[7][..]), "the rest is replaced");
    Ok(())
}

async fn forgotten_content_leaves_marks_and_tags(records: &DynRecords) -> Result<(), RecordsError> {
    let (image, tag, digest) = (image("a"), tag("1"), Digest::sha256(b""));
    let set = TagRecord::new(digest.clone(), at(1));
    records
        .put_content(ContentRecord::new(digest.clone(), None, 0, at(1)))
        .await?;
    records.mark(&image, &digest).await?;
    records.set_tag(&image, &tag, set.clone()).await?;
    records.forget_content(&digest).await?;
    assert_eq!(records.content(&digest).await?, None);
    assert!(records.contains(&image, &digest).await?);
    assert_eq!(records.tag(&image, &tag).await?, Some(set));
    // Content that is fetched again is new.
    records
        .put_content(ContentRecord::new(digest.clone(), None, 0, at(9)))
        .await?;
    let found = records.content(&digest).await?;
    assert_eq!(found.map(|found| found.first_cached), Some(at(9)));
    Ok(())
}

// CA6: a digest is served from a repository only if an upstream answer proved that it contains it.
async fn ca6_a_mark_belongs_to_one_repository(records: &DynRecords) -> Result<(), RecordsError> {
    let digest = Digest::sha256(b"private");
    let marked = image("team/private");
    records
        .put_content(ContentRecord::new(digest.clone(), None, 7, at(1)))
        .await?;
    records.mark(&marked, &digest).await?;
    records.mark(&marked, &digest).await?;
    assert!(records.contains(&marked, &digest).await?);
    for other in [
        image("team"),
        image("team/private/sub"),
        image("team/public"),
        image_of("r.example/team", "private"),
        image_of("other.example", "team/private"),
    ] {
        assert!(!records.contains(&other, &digest).await?, "{other}");
    }
    assert!(!records.contains(&marked, &Digest::sha256(b"other")).await?);
    Ok(())
}

async fn a_mark_is_removed_alone(records: &DynRecords) -> Result<(), RecordsError> {
    let (a, b) = (image("a"), image("b"));
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    for image in [&a, &b] {
        for digest in [&one, &two] {
            records.mark(image, digest).await?;
        }
    }
    records.unmark(&a, &one).await?;
    assert!(!records.contains(&a, &one).await?);
    assert!(records.contains(&a, &two).await?);
    assert!(records.contains(&b, &one).await?);
    Ok(())
}

async fn a_tag_is_read_back(records: &DynRecords) -> Result<(), RecordsError> {
    let image = image("a");
    let longest = format!("_{}", "aZ.-9".repeat(25));
    for name in ["1", "latest", "a.", "tags", "sha256-0", &longest] {
        let mut record = TagRecord::new(Digest::sha256(name.as_bytes()), Duration::new(9, 1));
        record.first_cached = Duration::new(3, 999_999_999);
        records.set_tag(&image, &tag(name), record.clone()).await?;
        assert_eq!(
            records.tag(&image, &tag(name)).await?,
            Some(record),
            "{name}"
        );
    }
    Ok(())
}

async fn tags_differ_by_case_and_repository(records: &DynRecords) -> Result<(), RecordsError> {
    let places = [
        ("a", "x"),
        ("a", "X"),
        ("a", "xX"),
        ("a", "Xx"),
        ("a/x", "x"),
        ("x", "x"),
    ];
    let record = |at_place: usize| TagRecord::new(Digest::sha256(&[at_place as u8]), at(1));
    for (index, (repository, name)) in places.iter().enumerate() {
        records
            .set_tag(&image(repository), &tag(name), record(index))
            .await?;
    }
    for (index, (repository, name)) in places.iter().enumerate() {
        let found = records.tag(&image(repository), &tag(name)).await?;
        assert_eq!(found, Some(record(index)), "{repository}:{name}");
    }
    Ok(())
}

// CA8: a tag is the last answer of the upstream.
async fn ca8_a_tag_never_moves_back(records: &DynRecords) -> Result<(), RecordsError> {
    let (image, tag) = (image("a"), tag("1"));
    let record = |content: &[u8], seconds| TagRecord::new(Digest::sha256(content), at(seconds));
    records.set_tag(&image, &tag, record(b"new", 20)).await?;
    records.set_tag(&image, &tag, record(b"old", 19)).await?;
    assert_eq!(records.tag(&image, &tag).await?, Some(record(b"new", 20)));
    // With the same digest `first_cached` is kept; with another digest it is not.
    records.set_tag(&image, &tag, record(b"new", 30)).await?;
    let mut kept = record(b"new", 30);
    kept.first_cached = at(20);
    assert_eq!(records.tag(&image, &tag).await?, Some(kept));
    records.set_tag(&image, &tag, record(b"newer", 30)).await?;
    assert_eq!(records.tag(&image, &tag).await?, Some(record(b"newer", 30)));
    Ok(())
}

// CA8: a revalidation changes only the time of validation.
async fn ca8_a_refreshed_tag_keeps_its_digest(records: &DynRecords) -> Result<(), RecordsError> {
    let (image, tag) = (image("a"), tag("1"));
    let (digest, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    records
        .set_tag(&image, &tag, TagRecord::new(digest.clone(), at(10)))
        .await?;
    assert!(!records.refresh_tag(&image, &tag, &other, at(20)).await?);
    let unchanged = TagRecord::new(digest.clone(), at(10));
    assert_eq!(records.tag(&image, &tag).await?, Some(unchanged));
    // A wrong clock may be corrected, so the time may also go back.
    for seconds in [30, 20] {
        assert!(
            records
                .refresh_tag(&image, &tag, &digest, at(seconds))
                .await?
        );
        let mut refreshed = TagRecord::new(digest.clone(), at(seconds));
        refreshed.first_cached = at(10);
        assert_eq!(records.tag(&image, &tag).await?, Some(refreshed));
    }
    Ok(())
}

async fn a_dropped_tag_may_be_set_again_at_an_earlier_time(
    records: &DynRecords,
) -> Result<(), RecordsError> {
    let (image, tag, digest) = (image("a"), tag("1"), Digest::sha256(b"1"));
    records.mark(&image, &digest).await?;
    records
        .set_tag(&image, &tag, TagRecord::new(digest.clone(), at(1_000)))
        .await?;
    records.drop_tag(&image, &tag).await?;
    assert_eq!(records.tag(&image, &tag).await?, None);
    assert!(records.contains(&image, &digest).await?, "marks stay");
    let record = TagRecord::new(digest, at(10));
    records.set_tag(&image, &tag, record.clone()).await?;
    assert_eq!(records.tag(&image, &tag).await?, Some(record));
    Ok(())
}

async fn lists_are_replaced_whole(records: &DynRecords) -> Result<(), RecordsError> {
    let (a, b) = (image("a"), image("b"));
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let list = |entries: &[&str], seconds| {
        let entries = entries.iter().map(|&entry| entry.into());
        ListRecord::new(entries.collect(), at(seconds))
    };
    let tags = list(&["\"b\"", "\"a\"", "{\"\u{20ac}\\n\":[1]}"], 10);
    records
        .put_list(&a, &ListKey::Tags, list(&["1", "2"], 20))
        .await?;
    records.put_list(&a, &ListKey::Tags, tags.clone()).await?;
    records
        .put_list(&a, &ListKey::Referrers(one.clone()), list(&[], 30))
        .await?;
    assert_eq!(records.list(&a, &ListKey::Tags).await?, Some(tags));
    records.drop_list(&a, &ListKey::Tags).await?;
    records.drop_list(&b, &ListKey::Tags).await?;
    assert_eq!(records.list(&a, &ListKey::Tags).await?, None);
    let referrers = records.list(&a, &ListKey::Referrers(one.clone())).await?;
    assert_eq!(referrers, Some(list(&[], 30)));
    assert_eq!(records.list(&a, &ListKey::Referrers(two)).await?, None);
    assert_eq!(records.list(&b, &ListKey::Tags).await?, None);
    assert_eq!(records.list(&b, &ListKey::Referrers(one)).await?, None);
    Ok(())
}

async fn images_are_sorted_and_have_a_mark_or_a_tag(
    records: &DynRecords,
) -> Result<(), RecordsError> {
    let digest = Digest::sha256(b"");
    let (marked, tagged) = (image_of("b.example", "a/b"), image_of("b.example", "a"));
    let (both, listed) = (image_of("a.example", "z"), image_of("c.example", "a"));
    records.mark(&marked, &digest).await?;
    records.mark(&both, &digest).await?;
    let record = TagRecord::new(digest.clone(), at(1));
    records.set_tag(&tagged, &tag("1"), record.clone()).await?;
    records.set_tag(&both, &tag("1"), record).await?;
    let list = ListRecord::new(Vec::new(), at(1));
    records.put_list(&listed, &ListKey::Tags, list).await?;
    assert_eq!(
        records.images().await?,
        [both.clone(), tagged.clone(), marked.clone()]
    );
    assert_eq!(records.image(&listed).await?, None);
    records.unmark(&marked, &digest).await?;
    records.drop_tag(&tagged, &tag("1")).await?;
    assert_eq!(records.images().await?, [both]);
    assert_eq!(records.image(&marked).await?, None);
    Ok(())
}

async fn an_image_has_its_tags(records: &DynRecords) -> Result<(), RecordsError> {
    let (name, record) = (image("a"), |at_second| {
        TagRecord::new(Digest::sha256(b""), at(at_second))
    });
    for (seconds, text) in [(1, "b"), (2, "B"), (3, "a"), (4, "latest")] {
        records.set_tag(&name, &tag(text), record(seconds)).await?;
    }
    records.set_tag(&image("a/b"), &tag("c"), record(9)).await?;
    let Some(found) = records.image(&name).await? else {
        panic!("the image has tags");
    };
    assert_eq!(found.name, name);
    let expected = [("B", 2), ("a", 3), ("b", 1), ("latest", 4)];
    let expected = expected.map(|(text, seconds)| (tag(text), record(seconds)));
    assert_eq!(found.tags, expected);
    records.mark(&image("marked"), &Digest::sha256(b"")).await?;
    let marked = records.image(&image("marked")).await?;
    assert_eq!(marked.map(|found| found.tags), Some(Vec::new()));
    Ok(())
}

/// Repositories with names that a driver may use internally, or whose names differ only in where a
/// component ends.
async fn names_that_look_alike_are_kept_apart(records: &DynRecords) -> Result<(), RecordsError> {
    let names = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "b"),
        ("a", "b.c"),
        ("a", "b_c"),
        ("a", "b-c"),
        ("a", "b__c"),
        ("tags", "tags"),
        ("own", "lists/tags"),
        ("meta", "sha256"),
        ("tmp", "tmp/tags/list"),
    ];
    for (index, (upstream, repository)) in names.iter().enumerate() {
        let name = image_of(upstream, repository);
        let digest = Digest::sha256(name.to_string().as_bytes());
        records.mark(&name, &digest).await?;
        let record = TagRecord::new(digest, at(index as u64));
        records.set_tag(&name, &tag("tags"), record).await?;
    }
    assert_eq!(records.images().await?.len(), names.len());
    for (index, (upstream, repository)) in names.iter().enumerate() {
        let name = image_of(upstream, repository);
        let found = records.tag(&name, &tag("tags")).await?;
        assert_eq!(
            found.map(|found| found.last_validated),
            Some(at(index as u64)),
            "{name}"
        );
    }
    Ok(())
}

async fn digests_of_any_algorithm_are_kept_apart(records: &DynRecords) -> Result<(), RecordsError> {
    let image = image("a");
    let hex = Digest::sha256(b"");
    let texts = [
        hex.as_str().to_owned(),
        format!("sha512:{0}{0}", hex.encoded()),
        format!("md4:{}", hex.encoded()),
        "x-y:z".to_owned(),
        "x:y-z".to_owned(),
        "x:Y-z".to_owned(),
        format!("x:{}", "y".repeat(500)),
    ];
    let mut digests = Vec::new();
    for text in &texts {
        let Ok(digest) = text.parse::<Digest>() else {
            panic!("{text} follows the grammar");
        };
        digests.push(digest);
    }
    for (index, digest) in digests.iter().enumerate() {
        assert!(!records.contains(&image, digest).await?, "{digest}");
        records.mark(&image, digest).await?;
        let record = ContentRecord::new(digest.clone(), None, index as u64, at(1));
        records.put_content(record).await?;
    }
    for (index, digest) in digests.iter().enumerate() {
        let found = records.content(digest).await?;
        assert_eq!(
            found.map(|found| found.size),
            Some(index as u64),
            "{digest}"
        );
    }
    Ok(())
}
