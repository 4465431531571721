//! Every document of the corpora, read directly and through the cache.

use std::env;

use bytes::Bytes;
use longshore::model::MediaType;
use longshore_testkit::BlobContent;
use longshore_testkit::image::DescribedContent;
use longshore_tests::http::{self, Reply};
use serde_json::Value;

use super::*;

/// Reads the rows of a corpus file. Prints a line and returns `None` if the file is absent.
#[expect(
    clippy::print_stderr,
    reason = "a test has to find its data, and say loudly that it did not"
)]
fn rows(file: &str) -> Option<Vec<Value>> {
    let folder = env::var_os("LONGSHORE_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(text) = fs::read_to_string(folder.join(file)) else {
        eprintln!("SKIPPED: no corpus {file}; set LONGSHORE_CORPORA to its directory");
        return None;
    };
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(rows.collect())
}

/// A registry with every text of these files, and the paths of the texts.
struct Corpus {
    upstream: Registry,
    cache: Serve,
    documents: Vec<(String, DescribedContent)>,
}

impl Corpus {
    /// `None` where there are no corpora. `media_type` is that of a text with this row.
    fn of(files: &[&str], media_type: impl Fn(&Value) -> MediaType) -> Option<Self> {
        let upstream = Registry::builder().start().unwrap();
        upstream.contents().create(NAME);
        let mut documents = Vec::new();
        for file in files {
            for row in rows(file)? {
                let text = row["input"].as_str().unwrap();
                let content = BlobContent::from(Bytes::from(text.to_owned()));
                let document = DescribedContent::new(media_type(&row["expect"]), content);
                documents.push((format!("t{}", documents.len()), document));
            }
        }
        let cache = Serve::builder().upstream("docker.io", &upstream.url());
        let cache = cache
            .env("LONGSHORE_SERVE_STORE_DURABILITY", "none")
            .start();
        Some(Self {
            upstream,
            cache,
            documents,
        })
    }

    /// Checks that the cache answers as its upstream does.
    #[track_caller]
    fn check_equal(&self, method: &str, path: &str) {
        let direct = http::send(self.upstream.address(), method, path, &[]);
        let cached = http::send(self.cache.address(), method, path, &[]);
        assert_eq!(described(&cached), described(&direct), "{method} {path}");
        assert!(cached.body == direct.body, "{method} {path}");
    }
}

/// Status, type, length and digest.
fn described(reply: &Reply) -> (u16, [Option<&str>; 3]) {
    let names = ["content-type", "content-length", "docker-content-digest"];
    (reply.status, names.map(|name| reply.header(name)))
}

#[test]
fn every_manifest_of_the_corpora_comes_through_unchanged() {
    let media_type = |expect: &Value| match expect["media_type"].as_str().map(str::parse) {
        Some(Ok(stated)) => stated,
        _ if expect["kind"].to_string().contains("index") => MediaType::OCI_INDEX,
        _ => MediaType::OCI_MANIFEST,
    };
    let Some(corpus) = Corpus::of(&["manifests.jsonl"], media_type) else {
        return;
    };
    for (tag, document) in &corpus.documents {
        let contents = corpus.upstream.contents();
        contents.add_document(NAME, tag, document.clone());
        let digest = document.descriptor.digest.as_str();
        for target in [tag, digest] {
            for method in ["GET", "HEAD", "GET"] {
                let path = format!("/v2/{NAME}/manifests/{target}");
                corpus.check_equal(method, &path);
            }
        }
    }
    assert_eq!(corpus.documents.len(), 322);
}

#[test]
fn every_other_text_of_the_corpora_comes_through_as_a_blob() {
    let files = [
        "docker_config.jsonl",
        "error_bodies.jsonl",
        "token_responses.jsonl",
    ];
    let Some(corpus) = Corpus::of(&files, |_| MediaType::OCI_LAYER) else {
        return;
    };
    for (_, document) in &corpus.documents {
        let digest = &document.descriptor.digest;
        let contents = corpus.upstream.contents();
        contents.set_blob(NAME, digest, document.content.clone());
        for method in ["HEAD", "GET", "GET", "HEAD"] {
            let path = format!("/v2/{NAME}/blobs/{digest}");
            corpus.check_equal(method, &path);
        }
    }
    assert_eq!(corpus.documents.len(), 44 + 46 + 46);
}

const NAME: &str = "library/corpus";
