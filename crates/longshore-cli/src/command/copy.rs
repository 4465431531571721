//! `longshore copy SRC DEST…` and `longshore push SRC REF…`

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use longshore::Client;
use longshore_copy::{
    Cancellation, CopyOptions, End, Journal, JournalError, Plan, Platforms, Subset, TransferError,
};

use self::place::{Opener, Place};
use self::report::Shown;
use crate::args::{Copy, Push, Transfer};
use crate::connect;
use crate::exit::Failure;
use crate::local;
use crate::output;
use crate::progress::TransferProgress;
use crate::rate_limits::RateLimits;
use crate::stop;

mod place;
mod report;

pub(crate) async fn copy(args: Copy) -> Result<(), Failure> {
    for text in std::iter::once(&args.source).chain(&args.destinations) {
        local::check_end(text)?;
    }
    let source = Place::source(&args.source)?;
    let parse = |text: &String| Place::destination(text, &source);
    let destinations: Result<Vec<_>, _> = args.destinations.iter().map(parse).collect();
    transfer(&args.transfer, &source, &destinations?).await
}

pub(crate) async fn push(args: Push) -> Result<(), Failure> {
    let source = Place::layout(&args.source)?;
    let parse = |text: &String| Place::registry(text, &source);
    let destinations: Result<Vec<_>, _> = args.destinations.iter().map(parse).collect();
    transfer(&args.transfer, &source, &destinations?).await
}

/// Plans the copy, and runs the plan unless this is a dry run.
async fn transfer(args: &Transfer, source: &Place, destinations: &[Place]) -> Result<(), Failure> {
    place::check(source, destinations)?;
    let limits = Arc::<RateLimits>::default();
    let client = client(args, source, destinations, &limits)?;
    let opener = Opener {
        client: client.as_ref(),
        chunk: args.chunk_size,
        journal: journal(args, destinations),
    };
    let journal = opener.journal.clone();
    let from = stop::unless_stopped(opener.open(source)).await?;
    let mut to: Vec<Arc<dyn End>> = Vec::new();
    for destination in destinations {
        to.push(stop::unless_stopped(opener.open(destination)).await?);
    }
    let progress = Arc::new(TransferProgress::default());
    let cancellation = Cancellation::new();
    let options = options(args, &progress, &cancellation);
    let planning = async {
        let plan = Plan::make(from, to, &options).await;
        plan.map_err(|error| unplanned(error, source, destinations))
    };
    let plan = stop::unless_stopped(planning).await?;
    let mut shown = Shown::new(args, source, destinations, &plan);
    if args.dry_run {
        shown.add_limits(&limits);
        let failures = shown.add_errors(plan.take_errors());
        shown.print_plan(args.connection.output)?;
        return Failure::all(failures);
    }
    shown.warn_of_sparse(destinations);
    let title = source.title();
    let running = async {
        let reports = progress.draw(&title, plan.run(&options.run)).await;
        reports.map_err(|error| shown.failure(error))
    };
    let reports = stop::cancelling(&cancellation, running).await;
    note_damaged(&progress, destinations);
    if let Some(error) = journal.and_then(|journal| journal.take_failure()) {
        note_journal(&error);
    }
    let reports = reports?;
    shown.add_limits(&limits);
    let failures = shown.add_results(reports);
    shown.print_results(args.connection.output)?;
    Failure::all(failures)
}

/// Makes the failure of a plan. If the only destination refused, it is named first.
fn unplanned(error: TransferError, source: &Place, destinations: &[Place]) -> Failure {
    let refused = match (&error, destinations) {
        (TransferError::Registry(error), [only]) => {
            (only.registry_name() == Some(error.registry())).then_some(only)
        }
        _ => None,
    };
    let failure = report::failure(error, &source.to_string(), &[]);
    match refused {
        Some(place) => failure.within(format!("cannot copy to {place}")),
        None => failure,
    }
}

/// Builds the client for the registries of this copy; `None` if there are none.
fn client(
    args: &Transfer,
    source: &Place,
    destinations: &[Place],
    limits: &Arc<RateLimits>,
) -> Result<Option<Client>, Failure> {
    let ends = std::iter::once(source).chain(destinations);
    let registries: Vec<_> = ends.filter_map(Place::registry_name).collect();
    if registries.is_empty() && args.connection.username.is_none() {
        return Ok(None);
    }
    let limits = Arc::clone(limits);
    let listen = move |notice: &_| limits.take(notice);
    connect::client_observed(&args.connection, &registries, listen).map(Some)
}

/// Opens the journal of unfinished uploads. Without it, an interrupted upload starts again from the
/// beginning.
fn journal(args: &Transfer, destinations: &[Place]) -> Option<Arc<Journal>> {
    let uploads = destinations.iter().any(|it| it.registry_name().is_some());
    if args.dry_run || !uploads {
        return None;
    }
    let open = |path: &Path| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Journal::in_dir(path, now.unwrap_or_default())
    };
    match open(&Journal::default_dir()?) {
        Ok(journal) => Some(Arc::new(journal)),
        Err(error) => {
            note_journal(&error);
            None
        }
    }
}

fn note_journal(error: &JournalError) {
    let failure = Failure::journal(error);
    output::note(&format!("warning: {}", failure.summary()));
}

fn options(
    args: &Transfer,
    progress: &Arc<TransferProgress>,
    cancellation: &Cancellation,
) -> CopyOptions {
    let mut options = CopyOptions::default();
    let subset = match (args.sparse, args.new_index) {
        (true, _) => Subset::Sparse,
        (_, true) => Subset::NewIndex,
        _ => Subset::Undecided,
    };
    options.platforms = match (&*args.platform, subset) {
        ([], _) => Platforms::All,
        ([platform], Subset::Undecided) => Platforms::One(platform.clone()),
        (platforms, subset) => Platforms::Several(platforms.to_vec(), subset),
    };
    options.referrers = args.referrers;
    options.skip_existing = args.skip_existing;
    options.foreign_layers = args.foreign_layers;
    options.dry_run = args.dry_run;
    options.run.jobs = args.jobs;
    options.run.verify_after = args.verify_after;
    options.run.trust_existing = args.trust_existing;
    options.run.observer = Some(Arc::<TransferProgress>::clone(progress));
    options.run.cancellation = cancellation.clone();
    options
}

/// Reports the damaged blobs that were replaced in the layouts of destinations.
fn note_damaged(progress: &TransferProgress, destinations: &[Place]) {
    let layouts = destinations
        .iter()
        .filter(|it| it.registry_name().is_none());
    let names: Vec<_> = layouts.map(ToString::to_string).collect();
    for digest in progress.damaged() {
        output::note(&format!(
            "{digest} in {} did not match its digest and was replaced",
            names.join(" or ")
        ));
    }
    for found in progress.lost() {
        output::note(&format!("warning: {found}; it was sent again"));
    }
}
