//! The output of a copy: its plan, and its results.

use std::fmt::{self, Write as _};

use longshore::ErrorKind;
use longshore::model::Digest;
use longshore::origin::Escaped;
use longshore::proto::endpoint::Endpoint;
use longshore_copy::{
    BlobAction, Concern, DestinationReport, Plan, PlannedDestination, Tally, TransferError,
};
use longshore_store::StoreError;
use serde::{Serialize, Serializer};

use super::place::Place;
use crate::args::{Output, Transfer};
use crate::exit::Failure;
use crate::output;
use crate::rate_limits::{RateLimits, ShownLimit};

/// The fields of JSON.
#[derive(Serialize)]
pub(super) struct Shown {
    source: String,
    digest: Digest,
    platform: Option<String>,
    /// Whether the image is a new index with a digest of its own.
    new_index: bool,
    dry_run: bool,
    manifests: u64,
    blobs: u64,
    /// Size of all blobs.
    bytes: u64,
    /// Number of foreign layers that are left out.
    foreign_layers: u64,
    /// Minimum number of requests for blobs to the registry of the source.
    source_requests: u64,
    #[serde(serialize_with = "as_texts")]
    concerns: Vec<Concern>,
    rate_limits: Vec<ShownLimit>,
    destinations: Vec<Destination>,
}

#[derive(Serialize)]
struct Destination {
    destination: String,
    /// Whether the destination had the image under its name before; `None` when that could not be
    /// found out.
    named: Option<bool>,
    /// What it lacked; `None` when that could not be found out.
    plan: Option<Planned>,
    /// What was done; `None` in a dry run, and when there was no plan.
    result: Option<Moved>,
    error: Option<String>,
}

/// What a destination has and lacks.
#[derive(Serialize)]
struct Planned {
    /// Number of manifests that it lacks. The other numbers are of blobs.
    manifests: u64,
    existing: u64,
    mounted: u64,
    moved: u64,
    bytes: u64,
    /// Minimum number of requests to write it.
    requests: u64,
}

/// The result at a destination, with manifests and blobs counted together.
#[derive(Serialize)]
struct Moved {
    moved: u64,
    bytes: u64,
    present: u64,
    mounted: u64,
    replaced: u64,
}

impl Shown {
    pub(super) fn new(
        args: &Transfer,
        source: &Place,
        destinations: &[Place],
        plan: &Plan,
    ) -> Self {
        let planned = destinations.iter().zip(plan.destinations());
        Self {
            source: source.to_string(),
            digest: plan.digest().clone(),
            platform: plan.platform().map(ToString::to_string),
            new_index: plan.is_new_index(),
            dry_run: args.dry_run,
            manifests: plan.manifests().len() as u64,
            blobs: plan.blobs().len() as u64,
            bytes: plan.blobs().iter().map(|blob| blob.size).sum(),
            foreign_layers: plan.foreign_layers(),
            source_requests: match source {
                Place::Layout(_) => 0,
                Place::Registry(..) => moved_once(plan),
            },
            concerns: plan.concerns().to_vec(),
            rate_limits: Vec::new(),
            destinations: planned
                .enumerate()
                .map(|(number, (place, planned))| {
                    Destination::new(place, (!plan.has_given_up(number)).then_some(planned))
                })
                .collect(),
        }
    }

    /// Makes the failure of the whole copy.
    pub(super) fn failure(&self, error: TransferError) -> Failure {
        failure(error, &self.source, &self.concerns)
    }

    /// Warns before the copy that a registry may refuse an index after everything else was sent.
    pub(super) fn warn_of_sparse(&self, destinations: &[Place]) {
        let is_sparse = |it: &&Concern| matches!(it, Concern::Sparse { .. });
        let sent = destinations.iter().any(|it| it.registry_name().is_some());
        if let Some(concern) = self.concerns.iter().find(is_sparse).filter(|_| sent) {
            output::note(&format!(
                "warning: {concern} after the rest was sent; --new-index makes a smaller one"
            ));
        }
    }

    /// Adds the rate limits that registries stated during the copy.
    pub(super) fn add_limits(&mut self, limits: &RateLimits) {
        self.rate_limits = limits.shown();
    }

    /// Adds the results; returns the failures of destinations.
    pub(super) fn add_results(&mut self, reports: Vec<DestinationReport>) -> Vec<Failure> {
        let mut errors = Vec::new();
        for (number, (destination, report)) in self.destinations.iter_mut().zip(reports).enumerate()
        {
            destination.result = destination.plan.is_some().then(|| report.tally.into());
            errors.extend(report.error.map(|error| (number, error)));
        }
        self.add_errors(errors)
    }

    /// Adds the errors of destinations, each with its place; returns their failures.
    pub(super) fn add_errors(&mut self, errors: Vec<(usize, TransferError)>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (number, error) in errors {
            if let Some(destination) = self.destinations.get_mut(number) {
                let what = format!("cannot copy to {}", destination.destination);
                let failure = failure(error, &self.source, &self.concerns).within(what);
                destination.error = Some(failure.summary());
                failures.push(failure);
            }
        }
        failures
    }

    pub(super) fn print_results(&self, output: Output) -> Result<(), Failure> {
        if output == Output::Json {
            return output::json(self);
        }
        if self.new_index {
            output::note("the copy is a new index, and its digest is not that of the source");
        }
        if self.foreign_layers > 0 {
            let layers = output::count(self.foreign_layers, "foreign layer");
            output::note(&format!("left out {layers}; --foreign-layers copies them"));
        }
        let copied = self.destinations.iter().filter(|it| it.error.is_none());
        let lines: Vec<_> = copied
            .filter_map(|it| it.result_line(&self.source))
            .collect();
        for line in &lines {
            output::note(line);
        }
        match &*lines {
            [] => Ok(()),
            _ => output::text(self.digest.as_str()),
        }
    }

    pub(super) fn print_plan(&self, output: Output) -> Result<(), Failure> {
        if output == Output::Json {
            return output::json(self);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_plan(&mut text);
        output::text(text.trim_end())?;
        output::note("nothing was written, because of --dry-run");
        Ok(())
    }

    fn write_plan(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "Source:       {}", self.source)?;
        let is_new = if self.new_index { ", a new index" } else { "" };
        writeln!(text, "Digest:       {}{is_new}", self.digest)?;
        if let Some(platform) = &self.platform {
            writeln!(text, "Platform:     {}", Escaped::text(platform))?;
        }
        let manifests = output::count(self.manifests, "manifest");
        let (blobs, size) = (output::count(self.blobs, "blob"), output::size(self.bytes));
        writeln!(text, "Content:      {manifests}, {blobs}, {size}")?;
        if self.foreign_layers > 0 {
            let layers = output::count(self.foreign_layers, "foreign layer");
            writeln!(text, "Left out:     {layers}, see --foreign-layers")?;
        }
        if self.source_requests > 0 {
            let requests = output::count(self.source_requests, "request");
            writeln!(text, "Reads:        at least {requests} for blobs")?;
        }
        for limit in &self.rate_limits {
            writeln!(text, "Rate limit:   {limit}")?;
        }
        for concern in &self.concerns {
            writeln!(text, "Concern:      {concern}")?;
        }
        self.destinations.iter().try_for_each(|it| it.write(text))
    }
}

impl Destination {
    /// A destination, and its part of the plan if there is one.
    fn new(place: &Place, planned: Option<&PlannedDestination>) -> Self {
        Self {
            destination: place.to_string(),
            named: planned.map(PlannedDestination::is_named),
            plan: planned.map(|planned| Planned::new(place, planned)),
            result: None,
            error: None,
        }
    }

    fn result_line(&self, source: &str) -> Option<String> {
        let result = self.result.as_ref()?;
        let destination = &self.destination;
        if result.is_nothing() && self.named == Some(true) {
            return Some(format!("{destination} has {source} already"));
        }
        let mut line = format!(
            "copied {source} to {destination}: {}, {} moved, {} there already",
            output::items(result.moved),
            output::size(result.bytes),
            result.present,
        );
        if result.mounted > 0 {
            // Writing to a string does not fail.
            let _ = write!(line, ", {} mounted", result.mounted);
        }
        Some(line)
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "\n{}", self.destination)?;
        let Some(plan) = &self.plan else {
            return writeln!(text, "  cannot be planned");
        };
        if self.named == Some(true) && plan.moved + plan.mounted + plan.manifests == 0 {
            return writeln!(text, "  has the image under this name already");
        }
        writeln!(
            text,
            "  Existing:   {}",
            output::count(plan.existing, "blob")
        )?;
        writeln!(
            text,
            "  Mounted:    {}",
            output::count(plan.mounted, "blob")
        )?;
        let size = output::size(plan.bytes);
        writeln!(
            text,
            "  Moved:      {}, {size}",
            output::count(plan.moved, "blob")
        )?;
        writeln!(
            text,
            "  Written:    {}",
            output::count(plan.manifests, "manifest")
        )?;
        match plan.requests {
            0 => Ok(()),
            requests => writeln!(
                text,
                "  Writes:     at least {}",
                output::count(requests, "request")
            ),
        }
    }
}

impl Planned {
    fn new(place: &Place, planned: &PlannedDestination) -> Self {
        let moved = planned.missing().count() as u64;
        let mounted = planned.mounted().count() as u64;
        let manifests = planned.missing_manifests();
        // Naming an existing manifest takes a request too.
        let writes = manifests.max(u64::from(!planned.is_named()));
        Self {
            manifests,
            existing: planned.existing().count() as u64,
            mounted,
            moved,
            bytes: planned.missing_bytes(),
            requests: match place {
                Place::Layout(_) => 0,
                // An upload is opened, and the blob is sent.
                Place::Registry(..) => 2 * moved + mounted + writes,
            },
        }
    }
}

impl Moved {
    /// Whether nothing was looked at, because the destination had the image under its name.
    const fn is_nothing(&self) -> bool {
        self.moved + self.present + self.mounted == 0
    }
}

impl From<Tally> for Moved {
    fn from(tally: Tally) -> Self {
        Self {
            moved: tally.moved,
            bytes: tally.bytes,
            present: tally.present,
            mounted: tally.mounted,
            replaced: tally.replaced,
        }
    }
}

/// Counts the blobs that are read from the source. Each is read once.
fn moved_once(plan: &Plan) -> u64 {
    let mut moved = vec![false; plan.blobs().len()];
    for destination in plan.destinations() {
        for (moved, (_, action)) in moved.iter_mut().zip(destination.actions()) {
            *moved |= *action == BlobAction::Move;
        }
    }
    moved.into_iter().filter(|moved| *moved).count() as u64
}

/// Makes the failure of a copy. If a registry refuses a manifest, adds the concerns about the
/// manifest. Errors of a local source do not name the source, so its name is added.
pub(super) fn failure(error: TransferError, source: &str, concerns: &[Concern]) -> Failure {
    let is_refused = refuses_manifest(&error);
    let is_absent = matches!(&error, TransferError::Store(StoreError::Absent { .. }));
    let is_local = is_absent
        || matches!(
            &error,
            TransferError::Damaged { .. }
                | TransferError::NoManifest { .. }
                | TransferError::Source(_)
        );
    let failure = match is_absent {
        true => Failure::absent(&error),
        false => Failure::from(error),
    };
    if is_local {
        return failure.within(format!("cannot read {source}"));
    }
    if !is_refused || concerns.is_empty() {
        return failure;
    }
    let failure = failure.foreseen(concerns);
    match concerns
        .iter()
        .any(|it| matches!(it, Concern::Sparse { .. }))
    {
        true => failure.hint("--new-index makes a smaller index, which has another digest"),
        false => failure,
    }
}

fn refuses_manifest(error: &TransferError) -> bool {
    let TransferError::Registry(error) = error else {
        return false;
    };
    matches!(error.operation().endpoint(), Some(Endpoint::ManifestPut(_)))
        && error
            .refusal()
            .is_some_and(|it| it.status.is_client_error())
        && !matches!(error.kind(), ErrorKind::Auth | ErrorKind::RateLimited)
}

fn as_texts<S: Serializer>(concerns: &[Concern], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(concerns.iter().map(ToString::to_string))
}
