//! The third promise: every fuzz target can be run from a checkout, and every seed replays here.
//!
//! An input the fuzzer found goes into `fuzz/seeds/<target>/` with the fix, and stays.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "the files are ours, and a test may fail"
)]

use std::path::{Path, PathBuf};

use longshore_fuzz_bodies as bodies;

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 20] = [
    ("authenticator", bodies::authenticator),
    ("cache_route", bodies::cache_route),
    ("call", bodies::call),
    ("challenge", bodies::challenge),
    ("config", bodies::config),
    ("content_range", bodies::content_range),
    ("digest", bodies::digest),
    ("docker_config", bodies::docker_config),
    ("download", bodies::download),
    ("end_name", bodies::end_name),
    ("link", bodies::link),
    ("listing", bodies::listing),
    ("manifest", bodies::manifest),
    ("multi_range", bodies::multi_range),
    ("reference", bodies::reference),
    ("retry_after", bodies::retry_after),
    ("route", bodies::route),
    ("serve_config", bodies::serve_config),
    ("token_response", bodies::token_response),
    ("upload", bodies::upload),
];

#[test]
fn every_target_has_a_program_a_dictionary_and_seeds() {
    let manifest = read(&fuzz().join("Cargo.toml"));
    let manifest = String::from_utf8(manifest).unwrap();
    for (target, _) in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"targets/{target}.rs\"")),
            "{target}"
        );
        let program = String::from_utf8(read(&fuzz().join(format!("targets/{target}.rs"))));
        assert!(
            program
                .unwrap()
                .contains(&format!("longshore_fuzz_bodies::{target}(data)"))
        );
        assert!(
            fuzz().join(format!("dictionaries/{target}.dict")).is_file(),
            "{target}"
        );
        assert!(seeds(target).len() >= 10, "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn every_seed_replays() {
    for (target, body) in TARGETS {
        for seed in seeds(target) {
            println!("{}", seed.display());
            body(&read(&seed));
        }
    }
}

#[test]
fn the_corpus_of_challenges_replays() {
    for input in corpus("challenges.jsonl") {
        let fields: Vec<&str> = input
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|f| f.as_str())
            .collect();
        println!("{fields:?}");
        bodies::challenge(fields.join("\n").as_bytes());
    }
}

#[test]
fn the_corpus_of_ranges_replays() {
    for input in corpus("ranges.jsonl") {
        println!("{input}");
        let value = input["value"].as_str().unwrap();
        bodies::content_range(value.as_bytes());
        bodies::multi_range(format!("10\n{value}").as_bytes());
    }
}

#[test]
fn the_corpus_of_references_replays() {
    for input in corpus("references.jsonl") {
        println!("{input}");
        bodies::reference(input.as_str().unwrap().as_bytes());
    }
}

#[test]
fn the_corpus_of_digests_replays() {
    for input in corpus("digests.jsonl") {
        println!("{input}");
        bodies::digest(input.as_str().unwrap_or_default().as_bytes());
    }
}

#[test]
fn the_corpus_of_docker_configurations_replays() {
    for input in corpus("docker_config.jsonl") {
        println!("{input}");
        bodies::docker_config(input.as_str().unwrap().as_bytes());
    }
}

#[test]
fn the_corpus_of_links_replays() {
    for input in corpus("link_headers.jsonl") {
        println!("{input}");
        let fields = input["link"].as_array().unwrap();
        let fields: Vec<&str> = fields.iter().flat_map(|field| field.as_str()).collect();
        bodies::link(fields.join("\n").as_bytes());
    }
}

#[test]
fn the_corpus_of_manifests_replays() {
    for input in corpus("manifests.jsonl") {
        let document = input.as_str().unwrap();
        println!("{document:.200}");
        bodies::manifest(format!("\n{document}").as_bytes());
    }
}

#[test]
fn the_corpus_of_token_responses_replays() {
    for input in corpus("token_responses.jsonl") {
        println!("{input}");
        bodies::token_response(input.as_str().unwrap().as_bytes());
    }
}

/// The `input` of each row of a corpus; none, said loudly, where the corpora are not there.
fn corpus(file: &str) -> Vec<serde_json::Value> {
    let directory = std::env::var_os("LONGSHORE_CORPORA")
        .map_or_else(|| fuzz().join("../../shared/corpora"), PathBuf::from);
    let path = directory.join(file);
    if !path.is_file() {
        eprintln!(
            "SKIPPED: no corpus {file}; LONGSHORE_CORPORA names the directory of the corpora"
        );
        return Vec::new();
    }
    let rows = String::from_utf8(read(&path)).unwrap();
    let rows: Vec<serde_json::Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert!(!rows.is_empty(), "{file}");
    rows.into_iter()
        .map(|mut row| row["input"].take())
        .collect()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let directory = fuzz().join("seeds").join(target);
    let entries = std::fs::read_dir(directory).unwrap();
    let mut seeds: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    seeds
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
