//! `inspect`: what is attached to an image.

use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use http::header::{CONTENT_TYPE, LINK};
use longshore_testkit::registry::Hook;

use super::*;

const KIND: &str = "application/vnd.longshore.testkit";
const NO_REFERRERS: &str =
    "  no referrers: the registry has no API for them, and no tag stands in for it";

#[test]
fn inspect_tells_what_is_attached() {
    let tree = image::single(91);
    let registry = serving(&tree);
    let attached = [image::attached(92, &tree), image::attached(93, &tree)];
    for tree in &attached {
        registry.contents().attach("a", tree);
    }
    let base = tree.digest().as_str().replace(':', "-");
    let signature = image::single(94);
    let sbom = image::single(95);
    registry
        .contents()
        .add("a", &format!("{base}.sig"), &signature);
    registry.contents().add("a", &format!("{base}.sbom"), &sbom);
    let reference = reference(&registry);
    let ended = run(&["inspect", &reference]);
    let (_, shown) = ended.succeeded().split_once("\nAttached:\n").unwrap();
    let mut digests = attached.each_ref().map(|tree| tree.digest());
    digests.sort();
    let size = attached[0].document().len();
    let expected = format!(
        "  {KIND}\n    {} {size} B\n    {} {size} B\n  cosign signature, tag {base}.sig\n    {}\n  \
         cosign sbom, tag {base}.sbom\n    {}",
        digests[0],
        digests[1],
        signature.digest(),
        sbom.digest()
    );
    assert_eq!(shown, expected);
    let told = told(&["inspect", &reference]);
    let referrers = super::told(&["referrers", &reference]);
    assert_eq!(told["referrers"], referrers["referrers"]);
    assert_eq!(told["referrers_from"], "api");
    assert_eq!(
        told["cosign"],
        json!([
            { "kind": "signature", "tag": format!("{base}.sig"), "digest": signature.digest() },
            { "kind": "sbom", "tag": format!("{base}.sbom"), "digest": sbom.digest() },
        ])
    );
    // The artifact knows what it refers to.
    let artifact = format!("{}/a@{}", registry.authority(), attached[0].digest());
    let told = super::told(&["inspect", &artifact]);
    assert_eq!(told["subject"], tree.digest().as_str());
    assert_eq!(told["artifact_type"], KIND);
    assert_eq!(told["platform"], Value::Null);
    let text = run(&["inspect", &artifact]);
    for line in [
        format!("Artifact:    {KIND}"),
        format!("Refers to:   {}", tree.digest()),
        "Config:      application/vnd.oci.empty.v1+json".to_owned(),
    ] {
        assert!(
            text.succeeded().lines().any(|it| it == line),
            "{}",
            text.stdout
        );
    }
}

#[test]
fn a_registry_without_referrers_is_no_error() {
    let tree = image::single(96);
    let Some(registry) = DockerRegistry::builder().bearer().tls().start() else {
        return;
    };
    let Some(reference) = registry.push(&tree, "some/app:1") else {
        return;
    };
    let inspect = |options: &[&str]| {
        let inspect = Longshore::new(["inspect", &reference]).args(options);
        registry.admit(inspect).run()
    };
    assert!(inspect(&[]).succeeded().ends_with(NO_REFERRERS));
    let told = inspect(&["--output", "json"]).json();
    assert_eq!(told["referrers_from"], Value::Null);
    assert_eq!(told["referrers"], json!([]));
    // skopeo agrees about the image.
    let Some(skopeo) = registry.skopeo() else {
        return;
    };
    let judged = judge(&skopeo, &registry, &reference);
    assert_eq!(told["digest"], judged["Digest"]);
    assert_eq!(told["created"], judged["Created"]);
    assert_eq!(
        told["platform"],
        format!("{}/{}", text(&judged["Os"]), text(&judged["Architecture"]))
    );
    let layers = told["layers"].as_array().unwrap();
    let digests: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(json!(digests), judged["Layers"]);
}

#[test]
fn inspect_reads_the_tag_that_stands_in_for_the_api() {
    let tree = image::single(97);
    let registry = serving(&tree);
    let gone = Misbehaviour::Status(StatusCode::NOT_FOUND);
    registry.misbehave(Rule::on(Part::List, gone));
    let signature = image::attached(98, &tree);
    let tag = tree.digest().as_str().replace(':', "-");
    let index = image::index_of(vec![signature.clone()]);
    registry.contents().add("a", &tag, &index);
    let told = told(&["inspect", &reference(&registry)]);
    assert_eq!(told["referrers_from"], "tag");
    assert_eq!(told["referrers"][0]["digest"], signature.digest().as_str());
    let text = run(&["inspect", &reference(&registry)]);
    let line = format!(
        "    {} {} B",
        signature.digest(),
        signature.document().len()
    );
    assert!(text.succeeded().ends_with(&line), "{}", text.stdout);
}

#[test]
fn a_part_that_cannot_be_read_does_not_hide_the_image() {
    let registry = serving(&image::single(101));
    let reference = reference(&registry);
    for (status, code) in [
        (StatusCode::FORBIDDEN, 0),
        (StatusCode::METHOD_NOT_ALLOWED, 0),
        (StatusCode::BAD_REQUEST, 0),
        (StatusCode::INTERNAL_SERVER_ERROR, UNAVAILABLE),
    ] {
        registry.behave();
        let tag = Rule::on(Part::Manifest, Misbehaviour::Status(status)).path(".sig");
        registry.misbehave(tag);
        let inspect = |output| {
            let arguments = ["inspect", "--retry-attempts", "1", "--output", output];
            Longshore::new(arguments).args([&reference]).run()
        };
        let ended = inspect("text");
        let shown = &ended.stderr;
        assert_eq!(ended.status.code(), Some(code), "{status}: {shown}");
        assert!(ended.stdout.contains("\nLayers:\n"), "{}", ended.stdout);
        let line = match code {
            0 => "note: a cosign signature is not shown: ",
            _ => "error: ",
        };
        let notes: Vec<_> = shown.lines().filter(|it| it.starts_with(line)).collect();
        assert!(
            notes.len() == 1 && notes[0].contains(status.as_str()),
            "{shown}"
        );
        let ended = inspect("json");
        assert_eq!(ended.status.code(), Some(code), "{status}");
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        let problems = told["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let start = "a cosign signature is not shown: ";
        assert!(text(&problems[0]).starts_with(start), "{problems:?}");
    }
}

#[test]
fn the_fallback_tag_is_read_if_the_referrers_api_sends_no_index() {
    let tree = image::single(106);
    let registry = serving(&tree);
    let signature = image::attached(107, &tree);
    let tag = tree.digest().as_str().replace(':', "-");
    let index = image::index_of(vec![signature.clone()]);
    registry.contents().add("a", &tag, &index);
    let reference = reference(&registry);
    let page = |status, body: &str| {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let answer = ScriptedResponse::status(status).header(CONTENT_TYPE, html);
        Misbehaviour::Response(Box::new(answer.body(body.to_owned())))
    };
    for odd in [
        page(StatusCode::OK, "<html>Sign in</html>"),
        page(StatusCode::OK, "{}"),
        page(StatusCode::BAD_REQUEST, "<html>Sign in</html>"),
        page(StatusCode::FORBIDDEN, "<html>Sign in</html>"),
        page(StatusCode::METHOD_NOT_ALLOWED, ""),
    ] {
        registry.behave();
        registry.misbehave(Rule::on(Part::List, odd));
        for command in ["inspect", "referrers"] {
            let ended = run(&[command, &reference]);
            let shown = ended.succeeded();
            assert!(shown.contains(signature.digest().as_str()), "{shown}");
            assert_eq!(ended.stderr, "");
            assert_eq!(told(&[command, &reference])["referrers_from"], "tag");
        }
    }
    registry.behave();
    let failing = Misbehaviour::Status(StatusCode::INTERNAL_SERVER_ERROR);
    registry.misbehave(Rule::on(Part::List, failing));
    let referrers = ["referrers", "--retry-attempts", "1", &reference];
    run(&referrers).failed(UNAVAILABLE, &["referrers", "500"]);
    let ended = run(&["inspect", "--retry-attempts", "1", &reference]);
    let parts = ["error: cannot read the referrers", "500"];
    let shown = partly(&ended, UNAVAILABLE, &parts);
    assert!(
        shown.ends_with("\n  the referrers are not known\n"),
        "{shown}"
    );
}

#[test]
fn a_refusal_of_credentials_is_an_error() {
    let tree = image::single(108);
    let registry = Registry::builder().image("a", "1", &tree);
    let registry = registry.basic(USER, PASSWORD).start().unwrap();
    let denied = Misbehaviour::Status(StatusCode::FORBIDDEN);
    registry.misbehave(Rule::on(Part::List, denied));
    let reference = reference(&registry);
    let run = |command: &str| {
        let command = Longshore::new([command, &*reference]);
        command.login(USER, PASSWORD).run()
    };
    run("referrers").failed(AUTH, &["referrers", "denied"]);
    let ended = run("inspect");
    let parts = ["error: cannot read the referrers", "denied"];
    let shown = partly(&ended, AUTH, &parts);
    assert!(shown.contains("\nLayers:\n"), "{shown}");
}

// LI2
#[test]
fn li2_a_summary_goes_only_so_far() {
    let platforms = (0..65).map(|it| longshore_model::Platform::new("linux", format!("cpu{it}")));
    let tree = image::index(100, &platforms.collect::<Vec<_>>());
    let registry = serving(&tree);
    for seed in 0..1001 {
        registry
            .contents()
            .attach("a", &image::attached(seed, &tree));
    }
    let told = told(&["inspect", &reference(&registry)]);
    assert_eq!(registry.requests_to(Part::Manifest).len(), 1 + 64 + 3);
    let platforms = told["platforms"].as_array().unwrap();
    assert_eq!(
        platforms[63]["total_size"],
        tree.children()[63].total_bytes()
    );
    assert_eq!(platforms[64]["total_size"], Value::Null);
    assert_eq!(told["referrers"].as_array().unwrap().len(), 1000);
    assert_eq!(told["more_referrers"], true);
    let text = run(&["inspect", &reference(&registry)]);
    let last = text.succeeded().lines().last().unwrap();
    assert_eq!(last, "  and more: `longshore referrers` lists them all");
}

// LI2: a page has so many bytes, however few its entries are.
#[test]
fn li2_a_summary_of_large_referrers_goes_only_so_far() {
    let tree = image::single(103);
    let registry = serving(&tree);
    endless_referrers(&registry);
    let ended = told(&["inspect", &reference(&registry)]);
    assert_eq!(ended["more_referrers"], true);
    let pages = registry.requests_to(Part::List).len();
    assert!(pages <= 6, "{pages}");
    registry.requests().clear();
    let reference = reference(&registry);
    for options in [&[][..], &["--tree"]] {
        let arguments = [&["referrers", &reference], options].concat();
        run(&arguments).failed_with_hint(PROTOCOL, &["bytes", "--artifact-type"]);
    }
}

/// Lets the list of referrers go on for ever, in pages of 7 MiB with one entry each.
fn endless_referrers(registry: &Registry) {
    let count = AtomicU64::new(0);
    let page = move |_: &_, _| {
        let index = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        let number = count.fetch_add(1, Ordering::Relaxed);
        let entry = json!({
            "mediaType": MediaType::OCI_MANIFEST.as_str(),
            "artifactType": "a/b",
            "digest": Digest::sha256(number.to_string().as_bytes()).as_str(),
            "size": 1,
            "annotations": { "a": "x".repeat(7 << 20) },
        });
        let page = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX.as_str(),
            "manifests": [entry],
        });
        let next = format!("<?page={number}>; rel=\"next\"");
        ScriptedResponse::json(&page)
            .header(CONTENT_TYPE, index)
            .header(LINK, next.parse().unwrap())
    };
    registry.misbehave(Rule::on(Part::List, Misbehaviour::Hook(Hook::new(page))));
}

// After a first page the registry is known to support referrers, so a missing page is an error and
// not an empty list.
#[test]
fn a_list_that_breaks_off_is_not_told_as_whole() {
    let tree = image::single(104);
    let registry = serving(&tree);
    registry
        .contents()
        .attach("a", &image::attached(105, &tree));
    let next = Misbehaviour::NextPage("?page=2".to_owned());
    registry.misbehave(Rule::on(Part::List, next));
    let refused = Misbehaviour::Status(StatusCode::METHOD_NOT_ALLOWED);
    registry.misbehave(Rule::on(Part::List, refused).after(1));
    let ended = run(&["inspect", &reference(&registry)]);
    let shown = ended.succeeded();
    assert!(
        shown.ends_with("\n  the referrers are not known"),
        "{shown}"
    );
    let note = "note: the referrers are not shown: ";
    assert!(
        ended.stderr.starts_with(note) && ended.stderr.contains("405"),
        "{}",
        ended.stderr
    );
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What skopeo makes of it.
fn judge(skopeo: &Skopeo, registry: &DockerRegistry, reference: &str) -> Value {
    let Output { stdout, stderr, .. } = skopeo
        .command("inspect")
        .args(["--no-tags", "--override-os=linux", "--override-arch=amd64"])
        .arg(format!(
            "--cert-dir={}",
            registry.ca_file().unwrap().parent().unwrap().display()
        ))
        .arg(format!("--creds={USER}:{PASSWORD}"))
        .arg(format!("docker://{reference}"))
        .output()
        .unwrap();
    serde_json::from_slice(&stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr)))
}
