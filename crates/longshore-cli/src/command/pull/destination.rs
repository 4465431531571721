//! The destination of a pull: `DIR[:TAG]`, or a form that other programs use.

use std::path::PathBuf;

use longshore::model::Tag;
use longshore_layout::Layout;

use crate::exit::{Exit, Failure};

/// Prefixes that other programs use for destinations that are not image layouts.
const OTHER_FORMS: &[(&str, &str)] = &[
    (
        "containers-storage:",
        "the image storage of Podman and CRI-O",
    ),
    ("dir:", "a directory in a format of skopeo"),
    ("docker-archive:", "an archive for `docker load`"),
    ("docker-daemon:", "a Docker daemon"),
    ("docker://", "a registry"),
    ("oci-archive:", "an archive of an image layout"),
];

/// Prefixes of image layouts in regctl and buildx.
const LAYOUT_FORMS: [&str; 2] = ["ocidir://", "oci-layout://"];

const HINT: &str = "give an image layout, as DIR[:TAG] or oci:DIR[:TAG]; \
                    write ./ before a path that begins like another form";

/// A layout directory, and the name that the image gets in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) path: PathBuf,
    pub(super) name: Option<String>,
}

impl Destination {
    /// Parses a destination. A known form that `pull` cannot write is a usage error.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(rest) = text.strip_prefix("oci:") {
            return Self::parse_skopeo(text, rest);
        }
        for form in LAYOUT_FORMS {
            if let Some(rest) = text.strip_prefix(form) {
                return Self::parse_plain(rest);
            }
        }
        for (form, what) in OTHER_FORMS {
            if text.starts_with(form) {
                return Err(usage(&format!(
                    "{text} names {what}, which `pull` cannot write"
                )));
            }
        }
        match text.split_once("://") {
            Some((scheme, _)) if !scheme.contains(['/', '.']) => Err(usage(&format!(
                "{text} is a URL, and not the name of an image layout"
            ))),
            _ => Self::parse_plain(text),
        }
    }

    /// Parses the part after `oci:` as skopeo does: the path ends at the first colon, and the name
    /// may be a whole reference.
    fn parse_skopeo(text: &str, rest: &str) -> Result<Self, Failure> {
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(usage(&format!("{text} contains no directory")));
        }
        if let Some(name) = &name {
            Layout::check_name(name).map_err(|error| {
                let what = format!("{text} is not a destination");
                Failure::caused(Exit::Usage, what, &error).hint(HINT)
            })?;
        }
        let path = PathBuf::from(path);
        Ok(Self { path, name })
    }

    /// Parses `DIR[:TAG]`. The text after the last colon is a name only if it is a valid tag, so a
    /// path may contain colons.
    fn parse_plain(text: &str) -> Result<Self, Failure> {
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

fn usage(what: &str) -> Failure {
    Failure::new(Exit::Usage, what).hint(HINT)
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
        check("images", "images", None);
        check("images:v1", "images", Some("v1"));
        check("./a:b/c", "./a:b/c", None);
        check("a:b:c", "a:b", Some("c"));
        check("images:", "images:", None);
        check(":v1", ":v1", None);
        check("./oci:v1", "./oci", Some("v1"));
        check("./dir:v1", "./dir", Some("v1"));
        check("dir", "dir", None);
    }

    #[test]
    fn the_layout_forms_of_other_programs_are_accepted() {
        check("oci:img", "img", None);
        check("oci:img:v1", "img", Some("v1"));
        check("oci:/a/b:v1", "/a/b", Some("v1"));
        check(
            "oci:img:registry.example:5000/app:v1",
            "img",
            Some("registry.example:5000/app:v1"),
        );
        check("ocidir://img:v1", "img", Some("v1"));
        check("ocidir:///a/b", "/a/b", None);
        check("oci-layout://img:v1", "img", Some("v1"));
    }

    #[test]
    fn a_form_that_is_not_a_layout_is_a_usage_error_with_a_hint() {
        for (text, word) in [
            ("docker://registry.example/a:1", "a registry"),
            ("docker-archive:image.tar", "`docker load`"),
            ("docker-archive:image.tar:a:1", "`docker load`"),
            ("oci-archive:image.tar", "an archive of an image layout"),
            ("dir:somewhere", "skopeo"),
            ("docker-daemon:a:1", "Docker daemon"),
            ("containers-storage:a:1", "Podman"),
            ("https://registry.example/a", "URL"),
            ("oci:", "no directory"),
            ("oci::v1", "no directory"),
            ("oci:img:", "not a destination"),
            ("oci:img:a b", "not a destination"),
        ] {
            let failure = Destination::parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{text}");
            let shown = failure.to_string();
            assert!(shown.contains(word), "{shown}");
            assert!(shown.contains("oci:DIR[:TAG]"), "{shown}");
        }
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
