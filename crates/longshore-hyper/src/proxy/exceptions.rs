//! The hosts for which no proxy is used, in the forms of `NO_PROXY`.

use std::net::IpAddr;

use ipnet::IpNet;
use longshore_origin::Origin;

/// The hosts that are excepted from a proxy setting.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// Any port if `None`.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Address(IpAddr),
    All,
    /// A name in lower case, and the names below it.
    Name(String),
    /// The names below a name; the text begins with a dot.
    NamesBelow(String),
    Range(IpNet),
}

impl Exceptions {
    /// Reads a list of entries separated by commas or spaces. A malformed entry is ignored.
    ///
    /// The forms are those of Go's `golang.org/x/net/http/httpproxy`: `*`; a name, with or without
    /// `.` or `*.` in front, or an address, each with an optional port; and a range such as
    /// `10.0.0.0/8`.
    pub(super) fn read(list: &str) -> Self {
        let entries = list.split(|c: char| c == ',' || c.is_whitespace());
        Self(entries.filter_map(Exception::read).collect())
    }

    /// Whether this origin is excepted.
    pub(super) fn contain(&self, origin: &Origin) -> bool {
        self.0.iter().any(|exception| exception.matches(origin))
    }
}

impl Exception {
    fn read(entry: &str) -> Option<Self> {
        let any_port = |hosts| Some(Self { hosts, port: None });
        if entry == "*" {
            return any_port(Hosts::All);
        }
        if let Ok(range) = entry.parse::<IpNet>() {
            return any_port(Hosts::Range(range));
        }
        if let Some(address) = address(entry) {
            return any_port(Hosts::Address(address));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let hosts = match address(host) {
            Some(address) => Hosts::Address(address),
            None => Hosts::named(host)?,
        };
        Some(Self { hosts, port })
    }

    fn matches(&self, origin: &Origin) -> bool {
        if self.port.is_some_and(|port| port != origin.port()) {
            return false;
        }
        let host = origin.host();
        let address = origin.address().map(|address| address.to_canonical());
        match &self.hosts {
            Hosts::All => true,
            Hosts::Address(excepted) => address == Some(*excepted),
            Hosts::Range(range) => address.is_some_and(|address| range.contains(&address)),
            Hosts::Name(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|above| above.is_empty() || above.ends_with('.')),
            Hosts::NamesBelow(suffix) => host.ends_with(suffix.as_str()),
        }
    }
}

impl Hosts {
    fn named(host: &str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let host = host
            .strip_prefix('*')
            .filter(|it| it.starts_with('.'))
            .unwrap_or(&host);
        match host.strip_prefix('.').unwrap_or(host) {
            "" => None,
            name if name.len() < host.len() => Some(Self::NamesBelow(host.to_owned())),
            name => Some(Self::Name(name.to_owned())),
        }
    }
}

/// An address, which may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_no_proxy_are_those_of_go() {
        for (list, excepted, others) in [
            (
                "*",
                &["a.example", "1.2.3.4", "[fd00::1]:5000"][..],
                &[][..],
            ),
            (
                "a.example",
                &["a.example", "b.a.example:5000"],
                &["ba.example", "example"],
            ),
            (
                ".a.example",
                &["b.a.example", "c.b.a.example"],
                &["a.example", "ba.example"],
            ),
            (
                "*.a.example",
                &["b.a.example:1", "c.b.a.example"],
                &["a.example", "ba.example"],
            ),
            ("A.Example", &["a.example", "B.a.EXAMPLE"], &[]),
            ("a.example.", &["a.example"], &[]),
            (
                "a.example:5000",
                &["a.example:5000", "b.a.example:5000"],
                &["a.example"],
            ),
            (
                ".a.example:443",
                &["b.a.example"],
                &["b.a.example:5000", "a.example"],
            ),
            (
                "1.2.3.4",
                &["1.2.3.4", "1.2.3.4:5000", "[::ffff:1.2.3.4]"],
                &["1.2.3.5"],
            ),
            ("1.2.3.4:5000", &["1.2.3.4:5000"], &["1.2.3.4"]),
            ("fd00::1", &["[fd00::1]", "[fd00::1]:5000"], &["[fd00::2]"]),
            ("[fd00::1]", &["[fd00::1]"], &["[fd00::2]"]),
            ("[fd00::1]:5000", &["[fd00::1]:5000"], &["[fd00::1]"]),
            ("10.0.0.0/8", &["10.1.2.3"], &["11.0.0.1", "a.example"]),
            ("10.1.2.3/8", &["10.9.9.9"], &["11.0.0.1"]),
            ("fd00::/8", &["[fd12::1]:5000"], &["[fe00::1]"]),
            (
                "b.example, a.example",
                &["a.example", "b.example"],
                &["c.example"],
            ),
            (
                "b.example a.example",
                &["a.example", "b.example"],
                &["c.example"],
            ),
            (
                ",, ,.,*.,:,:5000,a.example:x",
                &[],
                &["a.example", "b.example:5000"],
            ),
            ("", &[], &["a.example"]),
        ] {
            let exceptions = Exceptions::read(list);
            let origin = |text: &&str| {
                Origin::from_authority(longshore_origin::Scheme::Https, text).unwrap()
            };
            for host in excepted {
                assert!(exceptions.contain(&origin(host)), "{host} in {list:?}");
            }
            for host in others {
                assert!(!exceptions.contain(&origin(host)), "{host} not in {list:?}");
            }
        }
    }
}
