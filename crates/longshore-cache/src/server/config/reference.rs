//! The reference of all keys.

use std::fmt::Write as _;

use super::ServeConfig;
use super::environment;
use super::setting::{Key, Setting as _};
use super::upstream::built_in;

/// Returns the reference of all keys, in Markdown. It is generated from the fields of the sections,
/// and stored in the file `CONFIGURATION.md` of this crate.
#[must_use]
pub fn reference() -> String {
    let keys = ServeConfig::keys();
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## `[serve]`\n\n");
    table(&mut text, "serve", &keys);
    text.push_str("\n## Built-in upstreams\n\n");
    for upstream in built_in() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "- `{}` at `{}`", upstream.prefix, upstream.url);
    }
    text.push_str("\n## Environment variables\n\n");
    for variable in environment::variables(&keys) {
        let _ = writeln!(text, "- `{}`", variable.name);
    }
    text
}

/// Writes the keys of a table, and then those of the tables in it.
fn table(text: &mut String, path: &str, keys: &[Key]) {
    for key in keys.iter().filter(|key| key.below.is_empty()) {
        let _ = write!(text, "- **`{}`**: {}", key.name, key.form);
        let _ = match key.default.as_str() {
            "" => writeln!(text, "."),
            plain if is_toml(plain) => writeln!(text, "; default `{plain}`."),
            described => writeln!(text, "; default: {described}."),
        };
        about(text, key, "  ");
    }
    for key in keys.iter().filter(|key| !key.below.is_empty()) {
        let path = format!("{path}.{}", key.name);
        let heading = match key.is_list {
            true => format!("[[{path}]]"),
            false => format!("[{path}]"),
        };
        let _ = writeln!(text, "\n## `{heading}`\n");
        about(text, key, "");
        text.push('\n');
        table(text, &path, &key.below);
    }
}

/// Writes the documentation of a key, with an indent.
fn about(text: &mut String, key: &Key, indent: &str) {
    for line in key.about.lines() {
        let _ = writeln!(text, "{indent}{}", line.trim());
    }
}

/// Whether a default is a TOML value.
fn is_toml(default: &str) -> bool {
    toml::de::DeValue::parse(default).is_ok()
}

const INTRODUCTION: &str = "\
# Configuration of `longshore serve`

This file is generated from the source code, and a test checks that it is current.

Command-line options have precedence over environment variables, variables over the file of
`--config FILE`, and the file over the defaults. Without `--config`, no file is read.
`longshore serve --check` checks a configuration and exits.

The file is [TOML](https://toml.io). An unknown key is an error. For example:

```toml
[serve]
listen = [\"127.0.0.1:5000\"]

[serve.store]
path = \"/var/cache/longshore\"
size = \"200 GiB\"

[[serve.upstream]]
prefix = \"docker.io\"
tag_rules = [{ tags = \"latest\", ttl = \"1m\" }, { tags = \"v*\", ttl = \"never\" }]

[[serve.upstream]]
prefix = \"registry.example\"
url = \"https://registry.example\"
credentials = { username = \"ci\", file = \"/run/secrets/registry\" }
```

- A **duration** is a whole number with one of the units `ms`, `s`, `m`, `h` and `d`: `250ms`, `5m`,
  `24h`.
- A **size** is a number of bytes, or a text with a whole number and a unit. `KB`, `MB`, `GB` and
  `TB` are powers of 1,000; `KiB`, `MiB`, `GiB` and `TiB` are powers of 1,024: `\"500MB\"`,
  `\"200 GiB\"`.
- The **environment variable** of a key is its path in upper case: `LONGSHORE_SERVE_STORE_SIZE` sets
  `size` in `[serve.store]`. Upstreams are numbered from 1: `LONGSHORE_SERVE_UPSTREAM_1_URL` sets
  `url` of the first one. The number after the last upstream of the file adds an upstream. A list is
  TOML, or entries separated by commas; lists of tables and tables of headers are TOML. An empty
  variable counts as absent.
- The configuration contains no **secrets**. It refers to files, environment variables and
  credential helpers that have them.
- Upstreams from the command line replace those of the environment and of the file.
";
