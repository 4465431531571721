//! The program under test: found beside the tests, built where it is missing or out of date.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The real `longshore`, as the sources stand.
///
/// `cargo test --workspace` has built it by the time tests run. `cargo test -p longshore-tests`
/// has not, or has left an older one, so then cargo builds it here: once, under the same target
/// directory and profile.
///
/// # Panics
///
/// When it does not build, with what cargo said.
pub(crate) fn longshore() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let place = Place::of_this_test();
        if !place.is_current() {
            place.build();
        }
        place.binary()
    })
}

/// Where cargo puts what it builds for this run.
struct Place {
    target: PathBuf,
    profile: String,
}

impl Place {
    /// A test runs from `<target>/<profile>/deps`, whatever names the target directory.
    fn of_this_test() -> Self {
        let test = match env::current_exe() {
            Ok(test) => test,
            Err(error) => panic!("a test does not know where it is: {error}"),
        };
        let parts = || {
            let profile = test.parent()?.parent()?;
            let name = profile.file_name()?.to_str()?.to_owned();
            Some((profile.parent()?.to_owned(), name))
        };
        match parts() {
            Some((target, profile)) => Self { target, profile },
            None => panic!("{} is no place for a test", test.display()),
        }
    }

    fn folder(&self) -> PathBuf {
        self.target.join(&self.profile)
    }

    fn binary(&self) -> PathBuf {
        self.folder()
            .join(format!("longshore{}", env::consts::EXE_SUFFIX))
    }

    /// Whether the binary is there and younger than all it was made of, by cargo's own list.
    fn is_current(&self) -> bool {
        let Some(built) = modified(&self.binary()) else {
            return false;
        };
        let list = fs::read_to_string(self.folder().join("longshore.d")).unwrap_or_default();
        let mut sources = sources(&list);
        sources.push(workspace().join("Cargo.lock"));
        sources.len() > 1
            && sources
                .iter()
                .all(|source| modified(source).is_some_and(|changed| changed <= built))
    }

    fn build(&self) {
        let profile = match self.profile.as_str() {
            "debug" => "dev",
            other => other,
        };
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(workspace())
            .args(["build", "--locked", "--package", "longshore-cli"])
            .args(["--profile", profile, "--target-dir"])
            .arg(&self.target)
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!(
                "longshore does not build:\n{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => panic!("cannot run cargo: {error}"),
        }
    }
}

fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}

/// The prerequisites of the one rule of a makefile: words, in which `\ ` is a space.
fn sources(rule: &str) -> Vec<PathBuf> {
    let list = rule.split_once(": ").map_or("", |(_, list)| list);
    let mut sources = vec![String::new()];
    let mut characters = list.trim_end().chars();
    while let Some(character) = characters.next() {
        match (character, sources.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (' ', _) => sources.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    sources.retain(|word| !word.is_empty());
    sources.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_its_sources() {
        for (rule, expected) in [
            ("", &[][..]),
            ("/t/debug/longshore:\n", &[]),
            ("/t/debug/longshore: /a/b.rs\n", &["/a/b.rs"]),
            ("/t x/b: /a/b.rs /a\\ b/c.rs\n", &["/a/b.rs", "/a b/c.rs"]),
        ] {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(sources(rule), expected, "{rule}");
        }
    }

    #[test]
    fn the_binary_is_there_once_it_was_asked_for() {
        assert!(longshore().is_file());
        assert!(Place::of_this_test().is_current());
    }
}
