//! The works: what clients do, and what of it is measured.

use super::image::Subject;

/// One row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// `GET` of a manifest by tag, all stored.
    Tag,
    /// `GET` of a manifest by digest, all stored.
    Digest,
    /// `HEAD` of a manifest by tag, all stored.
    Head,
    /// `GET` of a blob of 64 KiB, all stored.
    Small,
    /// One `GET` of a blob of 1 GiB that is stored.
    Large,
    /// Memory while 64 clients read a stored blob.
    Memory,
    /// 32 clients that request one blob which only a slow upstream has.
    Cold,
}

impl Work {
    pub(super) const ALL: [Self; 7] = [
        Self::Tag,
        Self::Digest,
        Self::Head,
        Self::Small,
        Self::Large,
        Self::Memory,
        Self::Cold,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Digest => "digest",
            Self::Head => "head",
            Self::Small => "small",
            Self::Large => "large",
            Self::Memory => "memory",
            Self::Cold => "cold",
        }
    }

    /// The path that its clients request.
    pub(super) fn path(self, subject: &Subject) -> String {
        match self {
            Self::Tag | Self::Head => subject.tag.clone(),
            Self::Digest => subject.manifest.clone(),
            Self::Small => subject.small.clone(),
            Self::Large | Self::Memory => subject.large.clone(),
            Self::Cold => subject.cold.clone(),
        }
    }

    /// Whether it is many short requests, which `wrk` sends.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Tag | Self::Digest | Self::Head | Self::Small)
    }
}

/// Connections of the work `memory`.
pub(super) const MEMORY_CLIENTS: usize = 64;

/// Clients of the work `cold`.
pub(super) const COLD_CLIENTS: usize = 32;

/// The cost of one program in one round of a work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Processor time of the server in seconds, user and system: of each request if the work is
    /// many short ones, else of all.
    pub(super) cpu: f64,
    /// Seconds until the last client had everything; for short requests, seconds for each request.
    pub(super) wall: f64,
    /// Requests of clients.
    pub(super) requests: u64,
    /// Requests that reached the upstream.
    pub(super) upstream: u64,
    /// The most memory that the server had resident since its start, in MiB.
    pub(super) peak_mib: f64,
    /// Seconds between the first byte of the upstream and the last of all first bytes of the
    /// clients; only for cold clients.
    pub(super) first: f64,
}

/// All rounds of one program for one work.
pub(super) struct Row {
    pub(super) work: Work,
    pub(super) program: super::server::Program,
    /// One for each round, in order.
    pub(super) samples: Vec<Sample>,
}

impl Row {
    /// The median over the rounds.
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        crate::bench::result::median(self.samples.iter().map(figure).collect())
    }

    /// The median of the ratios of two rows; each ratio is from one round.
    pub(super) fn over(&self, other: &Self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        let ratios = pairs.map(|(ours, theirs)| figure(ours) / figure(theirs));
        crate::bench::result::median(ratios.collect())
    }
}
