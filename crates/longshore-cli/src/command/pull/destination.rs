//! The destination of a pull: `DIR[:TAG]`.

use std::path::PathBuf;

use longshore::model::Tag;
use longshore_layout::Layout;

use crate::exit::{Exit, Failure};

/// A layout directory, and the name that the image gets in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) path: PathBuf,
    pub(super) name: Option<String>,
}

impl Destination {
    /// Parses `DIR[:TAG]`. The text after the last colon is a name only if it is a valid tag, so a
    /// path may contain colons.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (path, name) = match text.rsplit_once(':') {
            Some((path, name)) if !path.is_empty() && name.parse::<Tag>().is_ok() => {
                (path, Some(name.to_owned()))
            }
            _ => (text, None),
        };
        if path.is_empty() {
            return Err(Failure::new(Exit::Destination, "the destination is empty")
                .hint("name a directory, as DIR or DIR:TAG"));
        }
        if path.ends_with(".tar") {
            let hint = "name a directory for an image layout; \
                        `tar -cf IMAGE.tar -C DIR .` makes an archive of it";
            let what = format!("{path} names an archive, and archives cannot be written yet");
            return Err(Failure::new(Exit::Destination, &what).hint(hint));
        }
        Ok(Self {
            path: PathBuf::from(path),
            name,
        })
    }

    /// Checks that an image layout is or can be there, before anything is requested or created.
    pub(super) fn check(&self) -> Result<(), Failure> {
        Ok(Layout::check_destination(&self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, name: Option<&str>) {
        let found = Destination::parse(text).unwrap();
        let name = name.map(str::to_owned);
        assert_eq!(
            found,
            Destination {
                path: PathBuf::from(path),
                name
            }
        );
    }

    #[test]
    fn a_name_follows_the_last_colon() {
        check("dir", "dir", None);
        check("dir:v1", "dir", Some("v1"));
        check("./a:b/c", "./a:b/c", None);
        check("a:b:c", "a:b", Some("c"));
        check("dir:", "dir:", None);
        check(":v1", ":v1", None);
    }

    #[test]
    fn an_archive_is_refused_with_a_hint() {
        for text in ["image.tar", "image.tar:v1"] {
            let failure = Destination::parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Destination);
            assert!(failure.to_string().contains("archive"), "{failure}");
        }
    }
}
