use super::*;
use crate::digest::Digest;

/// Makes an index; each entry is `platform` or `-` for none, its digest that of its position.
fn index(entries: &[&str]) -> Index {
    let entry = |(at, platform): (usize, &&str)| {
        let digest = Digest::sha256(at.to_string().as_bytes());
        let mut entry = Descriptor::new(MediaType::OCI_MANIFEST, digest, 1);
        entry.platform = platform.parse().ok().map(Box::new);
        entry
    };
    Index::new(entries.iter().enumerate().map(entry).collect())
}

#[track_caller]
fn check(entries: &[&str], wanted: &str, expected: Result<usize, &str>) {
    let index = index(entries);
    let selected = index.select(&wanted.parse().unwrap());
    let position = |entry: &Descriptor| {
        index
            .manifests
            .iter()
            .position(|other| other.digest == entry.digest)
            .unwrap()
    };
    let selected = selected.map(position).map_err(|error| error.to_string());
    assert_eq!(selected, expected.map_err(str::to_owned));
}

#[test]
fn the_best_fit_wins_and_then_the_first() {
    check(&["linux/arm64", "linux/amd64"], "linux/amd64", Ok(1));
    check(&["linux/arm/v6", "linux/arm/v7"], "linux/arm/v8", Ok(1));
    check(&["linux/arm/v7", "linux/arm/v6"], "linux/arm/v6", Ok(1));
    check(&["linux/amd64", "linux/amd64"], "linux/amd64", Ok(0));
    check(&["-", "linux/amd64"], "linux/amd64", Ok(1));
}

#[test]
fn no_match_lists_what_there_is() {
    check(
        &[
            "linux/amd64",
            "unknown/unknown",
            "linux/arm/v7",
            "linux/amd64",
        ],
        "linux/s390x",
        Err("no image for linux/s390x, there is linux/amd64, linux/arm/v7"),
    );
    check(
        &[],
        "linux/amd64",
        Err("no image for linux/amd64: the index has no entries"),
    );
    let mut versions = index(&["windows/amd64"]);
    versions.manifests[0].platform.as_mut().unwrap().os_version = Some("10.0.1.2".to_owned());
    let error = versions
        .select(&Platform::new("linux", "amd64"))
        .unwrap_err();
    let expected = "no image for linux/amd64, there is windows/amd64 (10.0.1.2)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn ou1_a_long_platform_is_cut() {
    let long = format!("linux/{}", "x".repeat(9000));
    let entries = [long.as_str(), "linux/arm64"];
    let error = index(&entries)
        .select(&Platform::new("linux", "amd64"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no image for linux/amd64, there is linux/{}, linux/arm64",
            "x".repeat(58)
        )
    );
}

#[test]
fn a_long_list_is_cut() {
    let entries: Vec<String> = (0..300).map(|n| format!("os{n}/amd64")).collect();
    let entries: Vec<&str> = entries.iter().map(|entry| &**entry).collect();
    let error = index(&entries)
        .select(&Platform::new("linux", "amd64"))
        .unwrap_err();
    assert_eq!(error.available.len(), 256);
    let text = error.to_string();
    assert!(
        text.ends_with("os30/amd64, os31/amd64 and 224 more"),
        "{text}"
    );
}

#[test]
fn attestations_are_never_selected() {
    check(&["unknown/unknown", "linux/amd64"], "linux/amd64", Ok(1));
    let nothing = "no image for unknown/unknown: the only entry of the index names no platform";
    check(&["unknown/unknown"], "unknown/unknown", Err(nothing));
}

#[test]
fn the_only_entry_without_platform_is_selected() {
    check(&["-"], "linux/amd64", Ok(0));
    check(&["unknown/unknown", "-"], "linux/amd64", Ok(1));
    check(
        &["-", "-"],
        "linux/amd64",
        Err("no image for linux/amd64: none of the 2 entries of the index names a platform"),
    );
    let other = "no image for linux/amd64, there is linux/arm64";
    check(&["-", "linux/arm64"], "linux/amd64", Err(other));
}

#[test]
fn content_that_is_no_manifest_is_not_selected() {
    let mut index = index(&["linux/amd64", "linux/amd64"]);
    index.manifests[0].media_type = "application/vnd.example".parse().unwrap();
    let wanted = Platform::new("linux", "amd64");
    assert_eq!(index.select(&wanted), Ok(&index.manifests[1]));
    index.manifests[1].media_type = MediaType::DOCKER_LIST;
    assert_eq!(index.select(&wanted), Ok(&index.manifests[1]));
}

#[test]
fn an_entry_with_a_malformed_platform_does_not_hide_the_others() {
    let entry = |platform: &str, size: u64| {
        let digest = Digest::sha256(b"");
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{size},"platform":{platform}}}"#,
            MediaType::OCI_MANIFEST
        )
    };
    for malformed in [
        r#""linux/amd64""#,
        "[]",
        "true",
        "{}",
        r#"{"os":"linux"}"#,
        r#"{"os":"linux","architecture":7}"#,
        r#"{"os":"linux","architecture":"amd64","variant":{"x":[1]}}"#,
        r#"{"os":"linux","architecture":"amd64","os.features":["a",1]}"#,
    ] {
        let index = |good: &str| {
            let entries = format!("{},{good}", entry(malformed, 1));
            let text = format!(
                r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
                entries.trim_end_matches(',')
            );
            let manifest = crate::Manifest::parse(text.into(), None).unwrap();
            manifest.document().as_index().unwrap().clone()
        };
        let wanted = Platform::new("linux", "amd64");
        let both = index(&entry(r#"{"os":"linux","architecture":"amd64"}"#, 2));
        assert_eq!(both.select(&wanted).unwrap().size, 2, "{malformed}");
        assert_eq!(both.manifests[0].platform, Some(Box::default()));
        let error = index("").select(&wanted).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no image for linux/amd64: the only entry of the index names no platform",
            "{malformed}"
        );
    }
}
