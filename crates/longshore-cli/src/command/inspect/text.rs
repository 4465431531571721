//! The summary for people. OU1 (text of a peer is escaped): all text of the registry goes through
//! `Escaped`.

use std::collections::BTreeMap;
use std::fmt::Display;

use longshore::model::{
    Descriptor, Document, ImageConfig, ImageManifest, Index, MediaType, RuntimeConfig,
};
use longshore::origin::Escaped;
use longshore_copy::ReferrersSource;

use super::attached::Attached;
use super::content::{self, Content};
use super::{Summary, annotations};
use crate::output;
use crate::referrer::NOTHING;

/// Maximum length of the build step of a layer, in characters.
const STEP_CHARS: usize = 100;

/// Width of the column of field names, in characters.
const NAME_WIDTH: usize = 13;

impl Summary {
    pub(super) fn text(&self) -> String {
        let mut page = Page::default();
        self.head(&mut page);
        let document = self.manifest.document();
        match (document, &self.content) {
            (Document::Index(index), Content::Index { sizes }) => page.index(index, sizes),
            (Document::Image(image), content) => {
                page.layers(image, content.config());
                if let Some(config) = content.config() {
                    page.config(config);
                }
            }
            _ => {}
        }
        page.pairs("Annotations", annotations(document));
        page.attached(&self.attached);
        page.0.join("\n")
    }

    fn head(&self, page: &mut Page) {
        let document = self.manifest.document();
        let size = self.manifest.bytes().len() as u64;
        page.field("Reference", &self.reference);
        page.field("Digest", self.manifest.digest());
        page.peer("Media type", Some(self.manifest.media_type().as_str()));
        page.peer("Artifact", document.artifact_type().map(MediaType::as_str));
        if let Some(index) = &self.index {
            page.field("From index", index);
        }
        if let Some(subject) = document.subject() {
            page.field("Refers to", &subject.digest);
        }
        if let Some(platform) = self.content.platform() {
            page.peer("Platform", Some(&platform.to_string()));
        }
        page.peer("Created", self.created());
        if let Document::Image(image) = document {
            let total = output::size(content::total(size, image));
            let layers = image.layers.len();
            let s = if layers == 1 { "" } else { "s" };
            page.field("Size", format!("{total} in {layers} layer{s}"));
            if self.content.config().is_none() {
                page.peer("Config", Some(image.config.media_type.as_str()));
            }
        }
    }
}

/// The lines of the summary.
#[derive(Default)]
struct Page(Vec<String>);

impl Page {
    /// Adds a field with text that is safe to show.
    fn field(&mut self, name: &str, value: impl Display) {
        let name = format!("{name}:");
        self.0.push(format!("{name:NAME_WIDTH$}{value}"));
    }

    /// Adds a field with text of the registry, if there is any.
    fn peer(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.field(name, Escaped::text(value));
        }
    }

    fn section(&mut self, title: &str) {
        self.0.push(String::new());
        self.0.push(format!("{title}:"));
    }

    fn line(&mut self, line: impl Display) {
        self.0.push(format!("  {line}"));
    }

    /// Adds a section of names and values, unless there are none.
    fn pairs(&mut self, title: &str, pairs: &BTreeMap<String, String>) {
        if pairs.is_empty() {
            return;
        }
        self.section(title);
        for (name, value) in pairs {
            self.line(format!("{}={}", Escaped::text(name), Escaped::text(value)));
        }
    }

    fn index(&mut self, index: &Index, sizes: &[Option<u64>]) {
        let entries = || index.manifests.iter().zip(sizes);
        let images = entries().filter(|(entry, _)| !content::is_attestation(entry));
        let rows: Vec<_> = images.map(|(entry, size)| row(entry, *size)).collect();
        self.section("Platforms");
        self.table(&rows);
        let attestations: Vec<_> = entries()
            .filter(|(entry, _)| content::is_attestation(entry))
            .collect();
        if attestations.is_empty() {
            return;
        }
        self.section("Attestations");
        for (entry, _) in attestations {
            let about = entry.annotations.get(content::REFERENCE_DIGEST);
            let about = about.map_or("?", String::as_str);
            self.line(format!("{} about {}", entry.digest, Escaped::text(about)));
        }
    }

    fn layers(&mut self, image: &ImageManifest, config: Option<&ImageConfig>) {
        self.section("Layers");
        let rows = image.layers.iter().map(|layer| {
            let kind = Escaped::text(layer.media_type.as_str()).to_string();
            [layer.digest.to_string(), output::size(layer.size), kind]
        });
        let first = self.0.len();
        self.table(&rows.collect::<Vec<_>>());
        // Below each layer comes its build step or its title.
        let rows = self.0.split_off(first);
        let steps = content::steps(image, config);
        for ((row, layer), step) in rows.into_iter().zip(&image.layers).zip(steps) {
            self.0.push(row);
            let title = layer.annotations.get(longshore::model::annotation::TITLE);
            if let Some(text) = step.or_else(|| title.map(String::as_str)) {
                self.line(format!("    {}", brief(text)));
            }
        }
    }

    fn config(&mut self, config: &ImageConfig) {
        let empty = RuntimeConfig::default();
        let runtime = config.config.as_ref().unwrap_or(&empty);
        let mut below = Self::default();
        below.peer("Author", config.author.as_deref());
        below.peer("User", runtime.user.as_deref());
        below.peer("Directory", runtime.working_dir.as_deref());
        below.peer("Entrypoint", command(&runtime.entrypoint).as_deref());
        below.peer("Command", command(&runtime.cmd).as_deref());
        for (name, list) in [
            ("Ports", &runtime.exposed_ports),
            ("Volumes", &runtime.volumes),
        ] {
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            below.peer(name, Some(&list.join(", ")));
        }
        below.peer("Stops by", runtime.stop_signal.as_deref());
        for variable in &runtime.env {
            below.peer("Env", Some(variable));
        }
        if !below.0.is_empty() {
            self.section("Config");
            below.0.iter().for_each(|line| self.line(line));
        }
        self.pairs("Labels", &runtime.labels);
    }

    fn attached(&mut self, attached: &Attached) {
        self.section("Attached");
        let mut groups: BTreeMap<&MediaType, Vec<&Descriptor>> = BTreeMap::new();
        let found = attached.referrers.as_ref();
        for referrer in found.map_or(&[][..], |it| &it.referrers) {
            let referrer = &referrer.descriptor;
            let kind = referrer.artifact_type.as_ref();
            let kind = kind.unwrap_or(&referrer.media_type);
            groups.entry(kind).or_default().push(referrer);
        }
        for (kind, referrers) in groups {
            self.line(Escaped::text(kind.as_str()));
            for referrer in referrers {
                let size = output::size(referrer.size);
                self.line(format!("  {} {size}", referrer.digest));
            }
        }
        if found.is_some_and(|it| it.more) {
            self.line("and more: `longshore referrers` lists them all");
        }
        for cosign in &attached.cosign {
            self.line(format!("cosign {}, tag {}", cosign.kind, cosign.tag));
            if let Some(digest) = &cosign.digest {
                self.line(format!("  {digest}"));
            }
        }
        match found {
            None => self.line("the referrers are not known"),
            Some(found) if found.source == ReferrersSource::Nothing => self.line(NOTHING),
            Some(found) if found.referrers.is_empty() && attached.cosign.is_empty() => {
                self.line("nothing");
            }
            Some(_) => {}
        }
    }

    /// Adds rows with aligned columns; the last column is not padded.
    fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        let mut widths = [0; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows {
            let cells = row.iter().zip(widths);
            let padded: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            self.line(padded.join("  ").trim_end());
        }
    }
}

/// Returns what an index says about an image, and the size of the image.
fn row(entry: &Descriptor, size: Option<u64>) -> [String; 3] {
    let platform = content::platform(entry);
    let mut name = match platform {
        // The platform is already escaped, but its length is not limited.
        Some(platform) => Escaped::text(&platform.to_string()).to_string(),
        None => "-".to_owned(),
    };
    let version = platform.and_then(|it| it.os_version.as_ref());
    if let Some(version) = version {
        name = format!("{name} {}", Escaped::text(version));
    }
    let size = size.map_or_else(|| "?".to_owned(), output::size);
    [name, entry.digest.to_string(), size]
}

/// Formats a command as JSON, so that the ends of its arguments are visible.
fn command(arguments: &Option<Vec<String>>) -> Option<String> {
    let arguments = arguments.as_ref()?;
    serde_json::to_string(arguments).ok()
}

/// Formats text of the registry on one line of limited length.
fn brief(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let shown = Escaped::text(&words.join(" ")).to_string();
    match shown.char_indices().nth(STEP_CHARS) {
        Some((cut, _)) => format!("{}…", shown.get(..cut).unwrap_or_default()),
        None => shown,
    }
}
