//! `tags` and `repos`: lists, page by page.

use super::*;

#[test]
fn tags_are_listed_one_a_line() {
    let tree = image::single(50);
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
        return;
    };
    let all = ["one", "three", "two"];
    for tag in all {
        let Some(_) = registry.push(&tree, &format!("some/app:{tag}")) else {
            return;
        };
    }
    let name = format!("{}/some/app", registry.authority());
    let tags = |options: &[&str]| {
        let tags = Longshore::new(["tags", &name]).args(options);
        registry.admit(tags).run()
    };
    // This registry sorts them as its disk does.
    let ended = tags(&[]);
    assert_eq!(
        ended.succeeded().lines().collect::<BTreeSet<_>>(),
        all.into()
    );
    assert_eq!(ended.stderr, "");
    let one = tags(&["--limit", "1"]);
    assert_eq!(one.succeeded(), ended.stdout.lines().next().unwrap());
    let told = tags(&["--output", "json"]).json();
    let expected = json!({
        "registry": registry.authority(),
        "repository": "some/app",
        "names": ended.stdout.lines().collect::<Vec<_>>(),
        "malformed": [],
        "complete": true,
    });
    assert_eq!(told, expected);
    let absent = format!("{}/nosuch", registry.authority());
    let ended = registry.admit(Longshore::new(["tags", &absent])).run();
    ended.failed_with_hint(NOT_FOUND, &["nosuch"]);
}

#[test]
fn a_part_of_a_list_can_be_asked_for() {
    let registry = Registry::builder().start().unwrap();
    for tag in ["one", "three", "two"] {
        registry.contents().add("a", tag, &image::single(50));
    }
    let name = format!("{}/a", registry.authority());
    for (options, expected) in [
        (&[][..], "one\nthree\ntwo"),
        (&["--limit", "2"], "one\nthree"),
        (&["--last", "one"], "three\ntwo"),
        (&["--last", "two"], ""),
        (&["--limit", "9", "--last", "three"], "two"),
    ] {
        let ended = run(&[&["tags", &name], options].concat());
        assert_eq!(ended.succeeded(), expected, "{options:?}");
    }
}

#[test]
fn tags_are_those_of_a_repository() {
    for one in ["a.example/b:1", "alpine:3.20", "localhost:5000"] {
        let ended = run(&["tags", one]);
        ended.failed_with_hint(REFERENCE, &[one, "repository", "[REGISTRY/]NAME"]);
    }
}

#[test]
fn no_tags_are_an_empty_list() {
    let registry = Registry::builder().start().unwrap();
    registry.contents().attach("a", &image::single(51));
    let name = format!("{}/a", registry.authority());
    let ended = run(&["tags", &name]);
    assert_eq!((ended.succeeded(), &*ended.stderr), ("", ""));
    assert_eq!(told(&["tags", &name])["names"], json!([]));
    // What some registries send once the last tag is gone.
    let null = ScriptedResponse::status(StatusCode::OK).body(r#"{"name":"a","tags":null}"#);
    registry.misbehave(Rule::on(Part::List, Misbehaviour::Response(Box::new(null))));
    assert_eq!(told(&["tags", &name])["names"], json!([]));
}

#[test]
fn repositories_are_listed_one_a_line() {
    let tree = image::single(52);
    let registry = Registry::builder().image("b/c", "1", &tree);
    let registry = registry.image("a", "1", &tree).start().unwrap();
    let name = registry.authority();
    assert_eq!(run(&["repos", &name]).succeeded(), "a\nb/c");
    assert_eq!(run(&["repos", &name, "--limit", "1"]).succeeded(), "a");
    assert_eq!(run(&["repos", &name, "--last", "a"]).succeeded(), "b/c");
    assert_eq!(
        told(&["repos", &name]),
        json!({
            "registry": name,
            "names": ["a", "b/c"],
            "malformed": [],
            "complete": true,
        })
    );
    let Some(registry) = DockerRegistry::builder().start() else {
        return;
    };
    assert_eq!(run(&["repos", &registry.authority()]).succeeded(), "");
}

#[test]
fn digests_among_the_tags_are_passed_over() {
    let registry = serving(&image::single(56));
    let page = json!({ "name": "a", "tags": ["1", Digest::sha256(b"1"), "2"] });
    let answer = ScriptedResponse::status(StatusCode::OK).body(page.to_string());
    registry.misbehave(Rule::on(
        Part::List,
        Misbehaviour::Response(Box::new(answer)),
    ));
    let name = format!("{}/a", registry.authority());
    assert_eq!(run(&["tags", &name]).succeeded(), "1\n2");
}

/// Answers every request for a list with this page.
fn answer_with(registry: &Registry, page: &str) {
    let answer = ScriptedResponse::status(StatusCode::OK).body(page.to_owned());
    registry.behave();
    registry.misbehave(Rule::on(
        Part::List,
        Misbehaviour::Response(Box::new(answer)),
    ));
}

#[test]
fn ou2_malformed_names_are_listed_separately_and_hide_no_others() {
    let registry = serving(&image::single(53));
    let name = format!("{}/a", registry.authority());
    answer_with(
        &registry,
        r#"{"name":"a","tags":["1","\u001b[2Jx",null,7,"2",{"a":"\u202e"}]}"#,
    );
    let malformed = [
        r"\u{1b}[2Jx",
        "7 (not a string)",
        r#"{"a":"\u202e"} (not a string)"#,
    ];
    let ended = run(&["tags", &name]);
    let shown = partly(
        &ended,
        PROTOCOL,
        &["error: the registry lists 3 malformed names"],
    );
    assert_eq!(shown, "1\n2\n");
    for name in malformed {
        let line = format!("malformed name: {name}");
        assert!(ended.stderr.lines().any(|it| it == line), "{name}");
    }
    let ended = run(&["tags", &name, "--output", "json"]);
    assert_eq!(ended.status.code(), Some(PROTOCOL));
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["names"], json!(["1", "2"]));
    assert_eq!(told["malformed"], json!(malformed));
    assert_eq!(told["complete"], true);
    answer_with(&registry, r#"{"repositories":["a","../b","c"]}"#);
    let ended = run(&["repos", &registry.authority()]);
    let parts = ["malformed name: ../b", "lists a malformed name"];
    assert_eq!(partly(&ended, PROTOCOL, &parts), "a\nc\n");
}

#[test]
fn names_before_an_error_of_a_list_are_printed() {
    let registry = serving(&image::single(57));
    let name = format!("{}/a", registry.authority());
    registry.misbehave(Rule::on(
        Part::List,
        Misbehaviour::NextPage("?page=2".to_owned()),
    ));
    let gone = Misbehaviour::Status(StatusCode::NOT_FOUND);
    registry.misbehave(Rule::on(Part::List, gone).after(1));
    let ended = run(&["tags", &name]);
    assert_eq!(partly(&ended, NOT_FOUND, &["tags of a"]), "1\n");
    registry.requests().clear();
    registry.behave();
    registry.misbehave(Rule::on(
        Part::List,
        Misbehaviour::NextPage("?page=2".to_owned()),
    ));
    let gone = Misbehaviour::Status(StatusCode::NOT_FOUND);
    registry.misbehave(Rule::on(Part::List, gone).after(1));
    let ended = run(&["tags", &name, "--output", "json"]);
    assert_eq!(ended.status.code(), Some(NOT_FOUND));
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["names"], json!(["1"]));
    assert_eq!(told["complete"], false);
    // No page arrived.
    registry.behave();
    let gone = Misbehaviour::Status(StatusCode::NOT_FOUND);
    registry.misbehave(Rule::on(Part::List, gone));
    let ended = run(&["tags", &name, "--output", "json"]);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(NOT_FOUND), ""));
}

#[test]
fn names_are_printed_while_the_next_page_is_awaited() {
    for output in ["text", "json"] {
        let gate = Gate::new();
        let registry = serving(&image::single(58));
        registry.misbehave(Rule::on(
            Part::List,
            Misbehaviour::NextPage("?page=2".to_owned()),
        ));
        registry.misbehave(Rule::on(Part::List, Misbehaviour::Hold(gate.clone())).after(1));
        let name = format!("{}/a", registry.authority());
        let place = tempdir().unwrap();
        let file = place.path().join("names");
        let script = format!("exec \"$@\" >{}", file.display());
        let mut running = Longshore::new(["tags", &name, "--output", output])
            .under(&script)
            .start();
        running.wait_until(|| {
            let shown = fs::read_to_string(&file).unwrap_or_default();
            shown.contains('1').then_some(())
        });
        running.signal("INT");
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(130), "{output}");
        gate.open();
    }
}

#[test]
fn the_reader_of_a_list_may_stop_reading() {
    let tree = image::single(54);
    let registry = serving(&tree);
    // More than a pipe takes before somebody reads.
    for number in 0..700 {
        let tag = format!("{number}-{}", "x".repeat(100));
        registry.contents().add("a", &tag, &tree);
    }
    let name = format!("{}/a", registry.authority());
    for command in [
        &["tags", &name][..],
        &["tags", &name, "--output", "json"],
        &["inspect", &reference(&registry)],
        &["--help"],
    ] {
        // The pipe is closed before anything is written to it.
        let script = "exec 3>&1; { \"$@\"; echo $? >&3; } | true; exec true";
        let ended = Longshore::new(command).under(script).run();
        assert_eq!(ended.succeeded(), "0", "{command:?}");
        assert_eq!(ended.stderr, "", "{command:?}");
    }
}

// RT9
#[test]
fn a_listing_can_be_stopped() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for command in ["tags", "repos", "inspect"] {
            let gate = Gate::new();
            let registry = serving(&image::single(55));
            registry.misbehave(Rule::on(Part::List, Misbehaviour::Hold(gate.clone())));
            let what = match command {
                "repos" => registry.authority(),
                "tags" => format!("{}/a", registry.authority()),
                _ => reference(&registry),
            };
            let mut running = Longshore::new([command, &what]).start();
            running.wait_until(|| (!registry.requests_to(Part::List).is_empty()).then_some(()));
            running.signal(signal);
            let ended = running.end();
            assert_eq!(ended.failed(code, &[]), "error: stopped\n");
            gate.open();
        }
    }
}
