//! The public suffix list, which the realm guard asks for registrable domains (RE4).

use longshore_auth::PublicSuffixes;

/// The list as the `psl` crate compiles it in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suffixes;

impl PublicSuffixes for Suffixes {
    fn registrable_domain<'a>(&self, host: &'a str) -> Option<&'a str> {
        let domain = psl::domain(host.as_bytes())?;
        // A suffix that is not listed is a guess, and must not decide where secrets are sent.
        if !domain.suffix().is_known() {
            return None;
        }
        std::str::from_utf8(domain.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re4_only_listed_suffixes_make_a_domain() {
        for (host, expected) in [
            ("auth.docker.io", Some("docker.io")),
            ("registry.example.co.uk", Some("example.co.uk")),
            ("me.github.io", Some("me.github.io")),
            ("co.uk", None),
            ("localhost", None),
            ("registry.corp", None),
        ] {
            assert_eq!(Suffixes.registrable_domain(host), expected, "{host}");
        }
    }
}
