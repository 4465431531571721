//! `longshore tags REPOSITORY` and `longshore repos REGISTRY`

use std::future::poll_fn;
use std::pin::pin;

use longshore::List;
use longshore::model::{Digest, Reference, RepositoryName, Tag};
use longshore::origin::Escaped;

use crate::args::{Connection, Output, Page, Repos, Tags};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::local;
use crate::output;
use crate::stream::Stream;

pub(crate) async fn tags(args: Tags) -> Result<(), Failure> {
    let reference = repository(&args.repository)?;
    let client = connect::client(&args.connection, &[reference.registry()])?;
    let repository = client.repository(&reference).await?;
    let list = repository.tags(None, args.page.last.as_deref());
    let head = [
        ("registry", reference.registry()),
        ("repository", reference.repository_str()),
    ];
    let names = Names::new(&args.connection, &head, Entry::of_tags);
    names.print(list, &args.page).await
}

/// Parses the name of a repository. A tag or digest is refused, because a list has no use for it.
fn repository(text: &str) -> Result<Reference, Failure> {
    let (reference, tag) = connect::reference_and_tag(text)?;
    local::note_layout(text);
    if tag.is_some() || reference.digest_str().is_some() {
        let what = format!("\"{text}\" names one image, and tags are those of a repository");
        return Err(Failure::new(Exit::Reference, &what).hint("give [REGISTRY/]NAME"));
    }
    Ok(reference)
}

pub(crate) async fn repos(args: Repos) -> Result<(), Failure> {
    let registry = connect::registry(&args.registry)?;
    let client = connect::client(&args.connection, &[registry])?;
    let list = client
        .repositories(registry, None, args.page.last.as_deref())
        .await?;
    let head = [("registry", args.registry.as_str())];
    let names = Names::new(&args.connection, &head, Entry::of_repositories);
    names.print(list, &args.page).await
}

/// What kind of text an entry of a list is.
enum Entry {
    Broken,
    Name,
    /// Valid, but not what was asked for; it is left out.
    Other,
}

impl Entry {
    /// Classifies an entry of a list of tags; Artifactory lists digests among them.
    fn of_tags(text: &str) -> Self {
        match text.parse::<Tag>() {
            Ok(_) => Self::Name,
            Err(_) if text.parse::<Digest>().is_ok() => Self::Other,
            Err(_) => Self::Broken,
        }
    }

    fn of_repositories(text: &str) -> Self {
        match text.parse::<RepositoryName>() {
            Ok(_) => Self::Name,
            Err(_) => Self::Broken,
        }
    }
}

/// Maximum number of malformed names that are shown in JSON, and on standard error.
const MALFORMED_LIMIT: u64 = 1000;

/// A list of names that is printed as it arrives.
///
/// A script could misread a name that breaks the grammar, so such names are printed separately
/// (OU2).
struct Names<'a> {
    stream: Stream,
    output: Output,
    /// The first fields of JSON.
    head: &'a [(&'static str, &'a str)],
    /// Whether these were printed.
    has_begun: bool,
    entry: fn(&str) -> Entry,
    /// How many names were printed.
    count: usize,
    /// Malformed names, escaped. In JSON they follow the names.
    malformed: Vec<String>,
    malformed_count: u64,
}

impl<'a> Names<'a> {
    fn new(
        connection: &Connection,
        head: &'a [(&'static str, &'a str)],
        entry: fn(&str) -> Entry,
    ) -> Self {
        Self {
            stream: Stream::default(),
            output: connection.output,
            head,
            has_begun: false,
            entry,
            count: 0,
            malformed: Vec::new(),
            malformed_count: 0,
        }
    }

    /// Prints the first fields of JSON, once.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.has_begun || self.output == Output::Text {
            return Ok(());
        }
        self.has_begun = true;
        self.stream.text("{")?;
        for (name, value) in self.head {
            self.stream.json(name)?;
            self.stream.text(":")?;
            self.stream.json(value)?;
            self.stream.text(",")?;
        }
        self.stream.text("\"names\":[")
    }

    /// Prints a list up to the requested number of names. Names that arrived before an error are
    /// printed too.
    async fn print(mut self, mut list: List<String>, page: &Page) -> Result<(), Failure> {
        let limit = page.limit.map_or(usize::MAX, usize::from);
        let ended = self.read(&mut list, limit).await;
        // Nothing is printed of a list whose first page could not be read.
        if self.output == Output::Json && (ended.is_ok() || self.has_begun) {
            self.begin()?;
            let is_complete = matches!(ended, Ok(true));
            self.stream.text("],\"malformed\":")?;
            self.stream.json(&self.malformed)?;
            self.stream.text(",\"complete\":")?;
            self.stream.json(&is_complete)?;
            self.stream.text("}\n")?;
        }
        self.stream.flush_all()?;
        ended?;
        let what = match self.malformed_count {
            0 => return Ok(()),
            1 => "the registry lists a malformed name".to_owned(),
            many => format!("the registry lists {many} malformed names"),
        };
        Err(Failure::new(Exit::Protocol, &what))
    }

    /// Reads the list, and returns whether it was read to its end.
    async fn read(&mut self, list: &mut List<String>, limit: usize) -> Result<bool, Failure> {
        while self.count < limit && !self.stream.is_closed() {
            match self.next(list).await? {
                Some(name) => self.take(&name)?,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Waits for the next name. Flushes the names that were read before, if the next one is not
    /// there yet.
    async fn next(&mut self, list: &mut List<String>) -> Result<Option<String>, Failure> {
        let mut next = pin!(list.next());
        poll_fn(|cx| {
            let polled = next.as_mut().poll(cx);
            if polled.is_pending() {
                self.stream.flush_all()?;
            }
            polled.map(|name| Ok(name.transpose()?))
        })
        .await
    }

    fn take(&mut self, name: &str) -> Result<(), Failure> {
        self.begin()?;
        match (self.entry)(name) {
            Entry::Name => self.take_name(name),
            Entry::Other => Ok(()),
            Entry::Broken => self.take_malformed(name),
        }
    }

    fn take_name(&mut self, name: &str) -> Result<(), Failure> {
        self.count += 1;
        if self.output == Output::Text {
            self.stream.text(name)?;
            return self.stream.text("\n");
        }
        if self.count > 1 {
            self.stream.text(",")?;
        }
        self.stream.json(name)
    }

    fn take_malformed(&mut self, name: &str) -> Result<(), Failure> {
        self.malformed_count += 1;
        if self.malformed_count > MALFORMED_LIMIT {
            return Ok(());
        }
        let name = Escaped::text(name).to_string();
        match self.output {
            Output::Json => self.malformed.push(name),
            Output::Text => {
                self.stream.flush_all()?;
                output::note(&format!("malformed name: {name}"));
            }
        }
        Ok(())
    }
}
