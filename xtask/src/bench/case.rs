//! The cases: which image is moved, from where and to where.

use super::image::{Image, MANY, ONE, TEN, TINY};
use super::server::Kind;

/// What is measured: the word after `bench`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verb {
    #[default]
    Pull,
    Push,
    Copy,
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Copy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Copy => "copy",
        }
    }

    /// The cases, in order.
    pub(super) fn cases(self) -> &'static [Case] {
        match self {
            Self::Pull => &PULLS,
            Self::Push => &PUSHES,
            Self::Copy => &COPIES,
        }
    }
}

/// From where an image is moved, and to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// From a server into an empty directory.
    Pull(Kind),
    /// From a layout into a new repository.
    Push(Kind),
    /// From one server into a new repository on each of the others.
    Copy(Kind, &'static [Kind]),
    /// From one repository into a new one on the same server.
    Within(Kind),
    /// The same, after everything was copied there before.
    Again(Kind),
}

impl Route {
    /// The servers: first the one that is read, if there is one.
    pub(super) fn kinds(self) -> Vec<Kind> {
        match self {
            Self::Pull(kind) | Self::Push(kind) | Self::Within(kind) | Self::Again(kind) => {
                vec![kind]
            }
            Self::Copy(from, to) => [&[from], to].concat(),
        }
    }

    /// The number of servers before the first one that is written to.
    pub(super) fn sources(self) -> usize {
        match self {
            Self::Pull(_) | Self::Copy(..) => 1,
            Self::Push(_) | Self::Within(_) | Self::Again(_) => 0,
        }
    }

    /// Whether the images are read from this one of the servers.
    pub(super) fn is_read(self, server: usize) -> bool {
        match self {
            Self::Pull(_) | Self::Within(_) | Self::Again(_) => true,
            Self::Push(_) => false,
            Self::Copy(..) => server == 0,
        }
    }

    pub(super) fn name(self) -> String {
        let name = |kinds: &[Kind]| {
            let names: Vec<String> = kinds.iter().map(|kind| kind.name()).collect();
            names.join(" and ")
        };
        match self {
            Self::Pull(kind) | Self::Push(kind) => kind.name(),
            Self::Copy(from, to) => format!("{} to {}", from.name(), name(to)),
            Self::Within(kind) | Self::Again(kind) => format!("within {}", kind.name()),
        }
    }

    /// The delay of each answer in milliseconds, if the case is about that delay.
    pub(super) fn delay(self) -> Option<u32> {
        self.kinds().into_iter().find_map(|kind| match kind {
            Kind::Delayed(milliseconds) => Some(milliseconds),
            _ => None,
        })
    }
}

/// One image on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) image: Image,
    pub(super) route: Route,
}

/// Delay of each response of the slow registry, in milliseconds.
pub(super) const DELAY_MS: u32 = 20;

const PULLS: [Case; 11] = [
    case("one", ONE, Route::Pull(Kind::Nginx)),
    case("ten", TEN, Route::Pull(Kind::Nginx)),
    case("many", MANY, Route::Pull(Kind::Nginx)),
    case("tiny", TINY, Route::Pull(Kind::Nginx)),
    case("tls", ONE, Route::Pull(Kind::NginxTls)),
    case("tokens", MANY, Route::Pull(Kind::Delayed(0))),
    case("tokens", MANY, Route::Pull(Kind::Delayed(DELAY_MS))),
    case("one", ONE, Route::Pull(Kind::DockerRegistry)),
    case("ten", TEN, Route::Pull(Kind::DockerRegistry)),
    case("many", MANY, Route::Pull(Kind::DockerRegistry)),
    case("tiny", TINY, Route::Pull(Kind::DockerRegistry)),
];

const PUSHES: [Case; 5] = [
    case("one", ONE, Route::Push(Kind::Sink)),
    case("many", MANY, Route::Push(Kind::Sink)),
    case("tokens", MANY, Route::Push(Kind::Delayed(0))),
    case("tokens", MANY, Route::Push(Kind::Delayed(DELAY_MS))),
    case("one", ONE, Route::Push(Kind::DockerRegistry)),
];

const COPIES: [Case; 7] = [
    case("one", ONE, Route::Copy(Kind::Nginx, &[Kind::Sink])),
    case("many", MANY, Route::Copy(Kind::Nginx, &[Kind::Sink])),
    case("two", ONE, Route::Copy(Kind::Nginx, &[Kind::Sink; 2])),
    case("within", MANY, Route::Within(Kind::Sink)),
    case(
        "one",
        ONE,
        Route::Copy(Kind::DockerRegistry, &[Kind::DockerRegistry]),
    ),
    case("within", MANY, Route::Within(Kind::DockerRegistry)),
    case("again", MANY, Route::Again(Kind::DockerRegistry)),
];

const fn case(name: &'static str, image: Image, route: Route) -> Case {
    Case { name, image, route }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_which_servers_are_read_and_which_are_written() {
        let copy = Route::Copy(Kind::Nginx, &[Kind::Sink; 2]);
        for (route, name, read, sources) in [
            (Route::Pull(Kind::Nginx), "nginx", vec![true], 1),
            (Route::Push(Kind::Sink), "sink", vec![false], 0),
            (copy, "nginx to sink and sink", vec![true, false, false], 1),
            (Route::Again(Kind::Sink), "within sink", vec![true], 0),
        ] {
            assert_eq!(route.name(), name);
            let servers = 0..route.kinds().len();
            let found: Vec<bool> = servers.map(|server| route.is_read(server)).collect();
            assert_eq!((found, route.sources()), (read, sources), "{name}");
        }
        let delayed = Route::Push(Kind::Delayed(20));
        assert_eq!((delayed.delay(), copy.delay()), (Some(20), None));
    }
}
