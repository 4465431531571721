//! The test corpora that lie beside a checkout; a test without them says so and passes.

use std::path::PathBuf;

use serde_json::Value;

/// Gives every row of a corpus of so many rows to `check`: its number from 1, `input` and `expect`.
pub(crate) fn for_each_row(file: &str, rows: usize, mut check: impl FnMut(usize, &str, &Value)) {
    #[expect(clippy::disallowed_methods, reason = "tests look for their data")]
    let directory = std::env::var_os("LONGSHORE_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(directory.join(file)) else {
        eprintln!("SKIPPED: no corpus {file}; set LONGSHORE_CORPORA to its directory");
        return;
    };
    assert_eq!(text.lines().count(), rows, "{file}");
    for (number, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        check(number + 1, row["input"].as_str().unwrap(), &row["expect"]);
    }
}
