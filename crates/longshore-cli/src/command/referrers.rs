//! `longshore referrers REF`

use std::collections::HashSet;
use std::pin::Pin;

use longshore::model::{Descriptor, Digest, MediaType};
use longshore::origin::Escaped;
use longshore::{COLLECTED_LIMIT_BYTES, ReferrersPage, Repository};
use serde_json::{Value, json};

use super::{reference, resolve};
use crate::args::{Output, Referrers};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

/// Referrers of referrers are followed this deep: a signature of an attestation of an image is
/// three.
const DEPTH_LIMIT: usize = 8;

/// So many referrers are shown; more are an error, for there is no end to what a registry can
/// make up (LI2).
const REFERRERS_LIMIT: usize = 10_000;

/// A manifest that refers to another, and what refers to it.
struct Node {
    descriptor: Descriptor,
    referrers: Vec<Self>,
}

/// How a registry told what refers to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By the referrers API.
    Api,
    /// It has no such API, and there is no tag that stands in for it.
    Nothing,
    /// It has no such API; a tag stands in for it.
    Tag,
}

impl Source {
    pub(super) fn of(page: &ReferrersPage) -> Self {
        if page.from_tag { Self::Tag } else { Self::Api }
    }

    /// As JSON tells it.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Api => Some("api"),
            Self::Nothing => None,
            Self::Tag => Some("tag"),
        }
    }
}

/// That there is nothing to be known.
pub(super) const NOTHING: &str =
    "no referrers: the registry has no API for them, and no tag stands in for it";

pub(crate) async fn run(args: Referrers) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let subject = resolve(&repository, &reference.target()).await?;
    let depth = if args.tree { DEPTH_LIMIT } else { 1 };
    let mut walk = Walk {
        repository,
        seen: HashSet::from([subject.clone()]),
        left: REFERRERS_LIMIT,
        bytes_left: COLLECTED_LIMIT_BYTES,
    };
    let wanted = args.artifact_type.as_ref();
    let (source, nodes) = walk.below(subject.clone(), wanted, depth).await?;
    if source == Source::Nothing {
        output::note(NOTHING);
    }
    match args.connection.output {
        Output::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": subject.to_string(),
            "referrers_from": source.name(),
            "referrers": nodes.iter().map(|node| node.json(args.tree)).collect::<Vec<_>>(),
        })),
        Output::Text => {
            let mut lines = Vec::new();
            if args.tree {
                lines.push(subject.to_string());
            }
            nodes
                .iter()
                .for_each(|node| node.lines(usize::from(args.tree), &mut lines));
            if lines.is_empty() {
                Ok(())
            } else {
                output::text(&lines.join("\n"))
            }
        }
    }
}

/// The way through what refers to a manifest, and to what refers to it.
struct Walk {
    repository: Repository,
    /// What was met; a circle of referrers is shown up to where it closes.
    seen: HashSet<Digest>,
    /// So many more are shown.
    left: usize,
    /// So many bytes more are read of what lists them: a few may be as large as many.
    bytes_left: u64,
}

type Below<'a> = Pin<Box<dyn Future<Output = Result<(Source, Vec<Node>), Failure>> + 'a>>;

impl Walk {
    /// What refers to `subject`.
    fn below<'a>(
        &'a mut self,
        subject: Digest,
        wanted: Option<&'a MediaType>,
        depth: usize,
    ) -> Below<'a> {
        Box::pin(async move {
            let (mut source, mut nodes) = (Source::Nothing, Vec::new());
            let mut pages = self.repository.referrers_pages(&subject, wanted);
            while let Some(page) = pages.next().await {
                let page = page?;
                source = Source::of(&page);
                let bytes = page.manifest.bytes().len() as u64;
                self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
                    too_many(format!("have more than {COLLECTED_LIMIT_BYTES} bytes"))
                })?;
                for descriptor in page.descriptors {
                    nodes.push(self.node(descriptor, depth).await?);
                }
            }
            Ok((source, nodes))
        })
    }

    async fn node(&mut self, descriptor: Descriptor, depth: usize) -> Result<Node, Failure> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| too_many(format!("are more than {REFERRERS_LIMIT}")))?;
        let digest = descriptor.digest.clone();
        let referrers = if depth > 1 && self.seen.insert(digest.clone()) {
            self.below(digest, None, depth - 1).await?.1
        } else {
            Vec::new()
        };
        Ok(Node {
            descriptor,
            referrers,
        })
    }
}

/// The end of a walk that a registry made too long (LI2).
fn too_many(how: String) -> Failure {
    let what = format!("the referrers {how}");
    Failure::new(Exit::Protocol, &what).hint("ask for one type with --artifact-type")
}

/// What is known of one that refers to another.
pub(super) fn json(referrer: &Descriptor) -> Value {
    json!({
        "digest": referrer.digest.to_string(),
        "media_type": referrer.media_type.as_str(),
        "artifact_type": referrer.artifact_type.as_ref().map(MediaType::as_str),
        "size": referrer.size,
        "annotations": referrer.annotations,
    })
}

impl Node {
    fn artifact_type(&self) -> &MediaType {
        self.descriptor
            .artifact_type
            .as_ref()
            .unwrap_or(&self.descriptor.media_type)
    }

    fn json(&self, tree: bool) -> Value {
        let mut value = json(&self.descriptor);
        if let (true, Some(object)) = (tree, value.as_object_mut()) {
            let below = self.referrers.iter().map(|node| node.json(tree));
            object.insert("referrers".to_owned(), below.collect());
        }
        value
    }

    fn lines(&self, indent: usize, lines: &mut Vec<String>) {
        let artifact_type = Escaped::text(self.artifact_type().as_str());
        let digest = &self.descriptor.digest;
        let size = output::size(self.descriptor.size);
        lines.push(format!(
            "{:indent$}{digest} {artifact_type} {size}",
            "",
            indent = indent * 2
        ));
        self.referrers
            .iter()
            .for_each(|node| node.lines(indent + 1, lines));
    }
}
