use super::*;

fn platform(text: &str) -> Platform {
    let (text, version) = text.split_once(' ').unwrap_or((text, ""));
    let mut platform: Platform = text.parse().unwrap();
    platform.os_version = Some(version.to_owned()).filter(|version| !version.is_empty());
    platform
}

/// Says which of the offered platforms the wanted one runs, the best first.
#[track_caller]
fn check(wanted: &str, offered: &[&str], expected: &[&str]) {
    let fit = |offered: &&&str| platform(wanted).fits(&platform(offered));
    let mut runs: Vec<_> = offered
        .iter()
        .filter(|offered| fit(offered).is_some())
        .collect();
    runs.sort_by_key(fit);
    let runs: Vec<_> = runs.into_iter().copied().collect();
    assert_eq!(runs, expected, "{wanted}");
}

#[test]
fn platforms_are_read_and_printed() {
    for text in [
        "linux/amd64",
        "linux/arm/v7",
        "windows/amd64",
        "js/wasm",
        "freebsd/riscv64",
    ] {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
    }
    for (text, at) in [
        ("", 0),
        ("linux", 5),
        ("linux/", 6),
        ("/amd64", 0),
        ("linux/arm/", 10),
        ("linux/arm/v7/x", 13),
        ("linux/a b", 7),
        ("lin\u{fc}x/arm", 3),
    ] {
        assert_eq!(
            text.parse::<Platform>(),
            Err(PlatformError { at }),
            "{text}"
        );
    }
}

#[test]
fn ou1_text_of_a_peer_is_printed_escaped() {
    let sent = r#"{"os":"li\u001b[2Jnux","architecture":"\u202eamd64","variant":"a\nb"}"#;
    let sent: Platform = serde_json::from_str(sent).unwrap();
    assert_eq!(sent.to_string(), r"li\u{1b}[2Jnux/\u{202e}amd64/a\nb");
}

#[test]
fn arm_runs_older_variants_the_newest_first() {
    let all = [
        "linux/arm/v5",
        "linux/arm/v7",
        "linux/arm/v6",
        "linux/arm/v8",
        "linux/arm64",
    ];
    let v = |n: &[u8]| {
        n.iter()
            .map(|n| format!("linux/arm/v{n}"))
            .collect::<Vec<_>>()
    };
    for (wanted, expected) in [
        ("linux/arm/v8", v(&[8, 7, 6, 5])),
        ("linux/arm/v7", v(&[7, 6, 5])),
        ("linux/arm", v(&[7, 6, 5])),
        ("linux/armhf", v(&[7, 6, 5])),
        ("linux/arm/v6", v(&[6, 5])),
        ("linux/armel", v(&[6, 5])),
        ("linux/arm/5", v(&[5])),
    ] {
        check(
            wanted,
            &all,
            &expected.iter().map(|text| &**text).collect::<Vec<_>>(),
        );
    }
    check("linux/arm/v6", &["linux/arm"], &[]);
    check(
        "linux/arm/odd",
        &["linux/arm/v7", "linux/arm/odd"],
        &["linux/arm/odd"],
    );
}

#[test]
fn arm64_without_variant_is_v8() {
    check(
        "linux/arm64",
        &["linux/arm64/v8", "linux/arm64/v9"],
        &["linux/arm64/v8"],
    );
    check("linux/arm64/v8", &["linux/arm64"], &["linux/arm64"]);
    check("linux/aarch64", &["linux/arm64"], &["linux/arm64"]);
    check(
        "linux/arm64/v9.1",
        &[
            "linux/arm64",
            "linux/arm64/v8.6",
            "linux/arm64/v8.7",
            "linux/arm64/v9",
        ],
        &["linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64"],
    );
}

#[test]
fn amd64_runs_lower_levels() {
    let all = [
        "linux/amd64",
        "linux/amd64/v3",
        "linux/amd64/v2",
        "linux/386",
    ];
    check("linux/amd64", &all, &["linux/amd64"]);
    check("linux/x86_64/v1", &all, &["linux/amd64"]);
    check(
        "linux/amd64/v3",
        &all,
        &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"],
    );
}

#[test]
fn other_architectures_want_the_same_variant() {
    check(
        "linux/ppc64le",
        &["linux/ppc64le", "linux/ppc64le/power9"],
        &["linux/ppc64le"],
    );
    check("linux/riscv64", &["darwin/riscv64", "linux/amd64"], &[]);
    check("macos/arm64", &["darwin/arm64"], &["darwin/arm64"]);
}

#[test]
fn windows_before_build_20348_wants_the_same_build() {
    let all = [
        "windows/amd64",
        "windows/amd64 10.0.17763.1",
        "windows/amd64 10.0.17763.9",
        "windows/amd64 10.0.19042.1",
        "windows/amd64 10.0.20348.1",
    ];
    let [bare, one, nine, ..] = all;
    check("windows/amd64", &all, &all);
    check("windows/amd64 10.0.17763.5", &all, &[nine, one, bare]);
    check("windows/amd64 10.0.17763.1", &all, &[one, nine, bare]);
    check("windows/amd64 10.0.16299.1", &all, &[bare]);
    check("windows/amd64 odd", &["windows/amd64 10.0.1.1"], &[]);
}

#[test]
fn windows_from_build_20348_on_runs_older_builds() {
    let all = [
        "windows/amd64 10.0.17763.1",
        "windows/amd64 10.0.20348.1",
        "windows/amd64 10.0.25398.1",
        "windows/amd64 10.0.26100.1",
    ];
    check("windows/amd64 10.0.25398.7", &all, &[all[2], all[1]]);
    check("windows/amd64 10.0.20348", &all, &[all[1]]);
}

#[test]
fn an_os_version_counts_on_windows_only() {
    check("linux/amd64 1", &["linux/amd64 2"], &["linux/amd64 2"]);
}
