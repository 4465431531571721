//! `verify`: what an image layout is worth. And layouts made by `pull` in each durability.

use super::*;

#[test]
fn every_durability_makes_a_layout_that_verifies() {
    let tree = Image::new(80).layers(12, 20_000).build();
    let registry = serving(&tree);
    let place = tempdir().unwrap();
    for durability in ["each", "batch", "none"] {
        let directory = place.path().join(durability);
        let path = directory.to_str().unwrap();
        let pull = Longshore::pull(&reference(&registry), path).args(["--durability", durability]);
        assert_eq!(pull.run().succeeded(), tree.digest().as_str());
        layout::assert_holds(&directory, &tree);
        let ended = run(&["verify", path]);
        assert_eq!(ended.succeeded(), "");
        let blobs = tree.all_blobs().len() + 1;
        let said = format!("{blobs} blobs, 1 of them manifests, ");
        assert!(ended.stderr.starts_with(&said), "{}", ended.stderr);
        assert_eq!(
            told(&["verify", path]),
            json!({
                "layout": path,
                "findings": [],
                "sound": true,
                "complete": true,
                "manifests": 1,
                "blobs": blobs,
                "bytes": tree.total_bytes(),
                "absent": 0,
                "damaged": 0,
            })
        );
    }
}

// DG3, DG9
#[test]
fn dg3_damage_is_found_and_named() {
    let tree = image::single(81);
    let place = tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    image::write_layout(place.path(), &[("1", &tree)]).unwrap();
    let [_, changed, missing, _] = tree.blobs() else {
        panic!("an image of three layers")
    };
    let (changed, missing) = (&changed.descriptor, &missing.descriptor);
    let file = layout::blob(place.path(), &changed.digest);
    let mut content = fs::read(&file).unwrap();
    content[9] ^= 1;
    fs::write(&file, content).unwrap();
    fs::remove_file(layout::blob(place.path(), &missing.digest)).unwrap();
    let stray = Digest::sha256(b"stray");
    fs::write(layout::blob(place.path(), &stray), "stray").unwrap();

    let ended = run(&["verify", path]);
    assert_eq!(ended.status.code(), Some(DIGEST));
    let lines: BTreeSet<_> = ended.stdout.lines().collect();
    let by = format!("referred to by {}", tree.digest());
    let is = |digest: &Digest, words: &[&str]| {
        let line = lines.iter().find(|line| line.starts_with(digest.as_str()));
        let line = line.unwrap_or_else(|| panic!("nothing of {digest}: {lines:?}"));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    };
    assert_eq!(lines.len(), 3);
    is(&changed.digest, &["not what its descriptor says", &by]);
    is(&missing.digest, &["absent", &by]);
    is(&stray, &["not referred to"]);
    assert!(ended.stderr.contains(&format!("error: {path} is damaged")));
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);

    let ended = run(&["verify", path, "--output", "json"]);
    assert_eq!(ended.status.code(), Some(DIGEST));
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&told["sound"], &told["complete"]),
        (&json!(false), &json!(false))
    );
    assert_eq!((&told["absent"], &told["damaged"]), (&json!(1), &json!(1)));
    let findings = told["findings"].as_array().unwrap();
    let finding = |digest: &Digest| {
        let mut found = findings.iter().filter(|it| it["digest"] == digest.as_str());
        (found.next().unwrap().clone(), found.count())
    };
    let expected = json!({
        "digest": missing.digest,
        "referrer": tree.digest(),
        "problem": "absent",
        "absent": true,
        "damage": false,
    });
    assert_eq!(finding(&missing.digest), (expected, 0));
    let stray = finding(&stray).0;
    assert_eq!(
        (&stray["damage"], &stray["referrer"]),
        (&json!(false), &Value::Null)
    );
    let problem = finding(&changed.digest).0["problem"].to_string();
    assert!(
        problem.contains("not what its descriptor says: "),
        "{problem}"
    );
}

// image-spec v1.1.1 "Image Layout": blobs may be absent.
#[test]
fn a_sparse_layout_is_not_damaged() {
    let tree = image::twenty_platforms(85);
    let place = tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    image::write_layout(place.path(), &[("1", &tree)]).unwrap();
    let absent = tree.children()[3].digest();
    fs::remove_file(layout::blob(place.path(), absent)).unwrap();
    let ended = run(&["verify", path]);
    let lines: Vec<_> = ended.succeeded().lines().collect();
    let line = lines.iter().find(|line| line.starts_with(absent.as_str()));
    assert!(
        line.is_some_and(|line| line.contains(": absent")),
        "{lines:?}"
    );
    assert!(ended.stderr.contains("; 1 absent"), "{}", ended.stderr);
    let ended = run(&["verify", path, "--output", "json"]);
    let told: Value = serde_json::from_str(ended.succeeded()).unwrap();
    assert_eq!(
        (&told["sound"], &told["complete"]),
        (&json!(true), &json!(false))
    );
    assert_eq!((&told["absent"], &told["damaged"]), (&json!(1), &json!(0)));
    let ended = run(&["verify", "--complete", path]);
    assert_eq!(ended.status.code(), Some(DIGEST));
    let said = "is not complete: it lacks 1 of the blobs that it refers to\n  hint: ";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    fs::remove_file(layout::blob(place.path(), tree.digest())).unwrap();
    let ended = run(&["verify", path]);
    assert!(ended.succeeded().starts_with(tree.digest().as_str()));
}

// RT11: a signal ends hashing soon, however large the blob is.
#[test]
fn rt11_a_signal_ends_a_verification() {
    let tree = image::single(86);
    let place = tempdir().unwrap();
    image::write_layout(place.path(), &[("1", &tree)]).unwrap();
    // A sparse file of a tebibyte takes many minutes to hash; its index gives the same size.
    let vast = Digest::sha256(b"vast");
    let file = fs::File::create(layout::blob(place.path(), &vast)).unwrap();
    file.set_len(1 << 40).unwrap();
    let entry = |digest: &Digest, size: u64| {
        json!({
            "mediaType": "application/vnd.example", "digest": digest.as_str(), "size": size,
        })
    };
    let absent = Digest::sha256(b"absent");
    let entries = [entry(&absent, 1), entry(&vast, 1 << 40)];
    let index = json!({"schemaVersion": 2, "manifests": entries});
    fs::write(place.path().join("index.json"), index.to_string()).unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let output = place.path().with_extension(signal);
        let mut running = Longshore::new(["verify".as_ref(), place.path().as_os_str()])
            .stdout(fs::File::create(&output).unwrap())
            .start();
        // A finding is printed when it is made, not at the end.
        running.wait_until(|| {
            let printed = fs::read_to_string(&output).unwrap();
            printed.starts_with(absent.as_str()).then_some(())
        });
        running.signal(signal);
        assert_eq!(running.end().status.code(), Some(code));
    }
}

#[test]
fn what_is_not_referred_to_is_no_damage() {
    let tree = image::single(82);
    let place = tempdir().unwrap();
    image::write_layout(place.path(), &[("1", &tree)]).unwrap();
    let stray = Digest::sha256(b"stray");
    fs::write(layout::blob(place.path(), &stray), "stray").unwrap();
    let ended = run(&["verify", place.path().to_str().unwrap()]);
    assert!(
        ended.succeeded().starts_with(stray.as_str()),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_directory_that_is_no_layout() {
    let place = tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    run(&["verify", path]).failed_with_hint(11, &[path, "oci-layout", "as `pull` makes it"]);
    let absent = place.path().join("absent");
    run(&["verify", absent.to_str().unwrap()]).failed_with_hint(11, &["absent"]);
}

// OU1, DG9
#[test]
fn ou1_text_of_a_layout_reaches_no_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}\u{9b}2J";
    let escaped: String = serde_json::to_string(hostile).unwrap();
    let place = tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let index = |text: String| {
        image::write_layout(place.path(), &[("1", &image::single(83))]).unwrap();
        fs::write(place.path().join("index.json"), text).unwrap();
    };
    for text in [
        format!(r#"{{"schemaVersion":2,"manifests":{escaped}}}"#),
        format!(r#"{{"schemaVersion":{escaped},"manifests":[]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":{escaped}}}]}}"#),
        format!(r#"{{"schemaVersion":2,{escaped}:1,"manifests":[{{"digest":{escaped}}}]}}"#),
        format!("{{\"schemaVersion\":2,{hostile}}}"),
    ] {
        index(text);
        for command in [&["verify", path][..], &["verify", path, "-o", "json"]] {
            harmless(&run(command));
        }
        harmless(
            &Longshore::pull("127.0.0.1:1/a:1", path)
                .args(["--retry-attempts", "1"])
                .run(),
        );
    }
    image::write_layout(place.path(), &[("1", &image::single(84))]).unwrap();
    let version = format!(r#"{{"imageLayoutVersion":{escaped}}}"#);
    for text in [version, format!("{{{escaped}:{escaped}")] {
        fs::write(place.path().join("oci-layout"), text).unwrap();
        harmless(&run(&["verify", path]));
    }
}

/// Demands a failure, and that nothing of it is more than text.
#[track_caller]
fn harmless(ended: &Ended) {
    assert!(
        matches!(ended.status.code(), Some(6 | 11 | DIGEST)),
        "{ended:?}"
    );
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let obeyed = said
        .chars()
        .find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
    assert_eq!(obeyed, None, "{said:?}");
}
