//! A registry that serves generated content from memory, and misbehaves when told to.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::header::{ACCEPT, RANGE};
use http::{Method, StatusCode};
use longshore_model::{Tag, TagOrDigest};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{BlobRequest, Endpoint, ManifestRequest, PingAnswer};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::route::{self, RouteError};

use crate::image::{DescribedContent, Tree};
use crate::requests::unpoisoned;
use crate::serve::Server;
use crate::token::TokenServer;
use crate::{Listen, RecordedRequest, Requests, ScriptedResponse};

pub use self::contents::Contents;
use self::demand::Demand;
use self::misbehave::Rules;
pub use self::misbehave::{Hook, Misbehaviour, Rule};
pub use self::quirk::{
    Chunks, ImmutableTags, LocationForm, LocationQuery, MissingContent, MountForm, Quirks, Quota,
    RangeForm, ReferrersForm,
};
use self::serving::Serving;
use self::write::Sessions;

mod contents;
mod demand;
mod list;
mod misbehave;
mod quirk;
mod serving;
mod write;

/// A registry with the endpoints of *distribution-spec v1.1.1*: ping, manifests, blobs, lists, and,
/// if it is [writable](Builder::writable), uploads and deletions.
///
/// Requests are read and answers written by `longshore-proto`, so a client built on that crate
/// is tested against its mirror image; tests against other people's registries keep both honest.
///
/// ```
/// use longshore_testkit::image;
/// use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
///
/// let registry = Registry::builder().image("app", "1", &image::single(1)).start()?;
/// registry.misbehave(Rule::on(Part::Blob, Misbehaviour::CutAfter(100)).times(2));
/// // … pull from registry.authority() …
/// assert_eq!(registry.requests_to(Part::Blob).len(), 0);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Registry {
    server: Server,
    state: Arc<State>,
}

impl Registry {
    /// Settings for an empty registry on loopback that demands nothing.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            listen: Listen::loopback(),
            contents: Contents::new(),
            demand: Demand::Nothing,
            challenges: None,
            rules: Vec::new(),
            writable: false,
            quirks: Quirks::default(),
        }
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `127.0.0.1:1234`, as a reference names it.
    #[must_use]
    pub fn authority(&self) -> String {
        self.server.address().to_string()
    }

    /// Its origin as a URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What it holds; content added later is served too.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.state.contents
    }

    /// Every request it had.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        self.server.requests()
    }

    /// The requests to one kind of endpoint.
    #[must_use]
    pub fn requests_to(&self, part: Part) -> Vec<RecordedRequest> {
        self.requests()
            .matching(|request| Part::of(request) == part)
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Misbehaves from now on as `rule` says; earlier rules stay.
    pub fn misbehave(&self, rule: Rule) {
        unpoisoned(&self.state.rules).push(rule);
    }

    /// Behaves again.
    pub fn behave(&self) {
        unpoisoned(&self.state.rules).clear();
    }

    /// Ends every upload session, as if all of them had expired.
    pub fn forget_uploads(&self) {
        unpoisoned(&self.state.sessions).forget();
    }

    /// Refuses every token issued so far, with `invalid_token`: what expiry looks like, without
    /// the waiting.
    pub fn revoke_tokens(&self) {
        self.state.demand.revoke();
    }
}

/// Settings of a [`Registry`].
#[derive(Debug)]
pub struct Builder {
    listen: Listen,
    contents: Contents,
    demand: Demand,
    challenges: Option<Vec<String>>,
    rules: Vec<Rule>,
    writable: bool,
    quirks: Quirks,
}

impl Builder {
    /// Where it listens.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// Serves these contents, which others may serve too.
    #[must_use]
    pub fn contents(mut self, contents: Contents) -> Self {
        self.contents = contents;
        self
    }

    /// Holds an image under a repository name and tag.
    #[must_use]
    pub fn image(self, repository: &str, tag: &str, tree: &Tree) -> Self {
        self.contents.add(repository, tag, tree);
        self
    }

    /// Demands HTTP Basic with this user and password.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.demand = Demand::basic(user, password);
        self
    }

    /// Demands tokens of this server.
    #[must_use]
    pub fn bearer(mut self, tokens: &TokenServer) -> Self {
        self.demand = Demand::bearer(tokens);
        self
    }

    /// Sends these values of `WWW-Authenticate` with every 401 instead of the right one.
    #[must_use]
    pub fn challenges(mut self, values: &[&str]) -> Self {
        self.challenges = Some(values.iter().map(|value| (*value).to_owned()).collect());
        self
    }

    /// Misbehaves as `rule` says, from the first request.
    #[must_use]
    pub fn misbehave(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Accepts uploads, manifests and deletions (distribution-spec v1.1.1 "Push" and "Content
    /// Management"), several tags for a manifest (`?tag=`, answered with `OCI-Tag`), and sessions
    /// for another algorithm than sha256 (`?digest-algorithm=`). A registry that is not writable
    /// answers all of them with 405.
    #[must_use]
    pub const fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    /// Makes the registry differ from the specification as `quirks` say.
    #[must_use]
    pub fn quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Starts the registry.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub fn start(self) -> io::Result<Registry> {
        let state = Arc::new(State {
            contents: self.contents,
            demand: self
                .demand
                .with_challenges(self.challenges)
                .with_quirks(&self.quirks),
            rules: Mutex::new(Rules::from(self.rules)),
            sessions: Mutex::default(),
            writable: self.writable,
            quirks: self.quirks,
            secure: self.listen.identity.is_some(),
        });
        let server = Server::start(&self.listen, Serving(Arc::clone(&state)))?;
        Ok(Registry { server, state })
    }
}

/// The kinds of endpoints, as far as requests are counted by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A blob or part of one.
    Blob,
    /// Tags, referrers or repositories.
    List,
    /// A manifest by tag or digest.
    Manifest,
    /// Nothing this registry knows.
    Other,
    /// `/v2/`.
    Ping,
    /// The session of an upload, or the request that opens one.
    Upload,
}

impl Part {
    /// What `request` is for, whatever its method.
    #[must_use]
    pub fn of(request: &RecordedRequest) -> Self {
        if request.path().contains("/blobs/uploads/") {
            return Self::Upload;
        }
        match route::read(&Method::GET, request.path(), &request.headers) {
            Ok(Endpoint::Blob(_)) => Self::Blob,
            Ok(Endpoint::Manifest(_)) => Self::Manifest,
            Ok(Endpoint::Ping) => Self::Ping,
            Ok(Endpoint::Catalogue(_) | Endpoint::Referrers(_) | Endpoint::Tags(_)) => Self::List,
            _ => Self::Other,
        }
    }
}

#[derive(Debug)]
struct State {
    contents: Contents,
    demand: Demand,
    rules: Mutex<Rules>,
    sessions: Mutex<Sessions>,
    writable: bool,
    quirks: Quirks,
    secure: bool,
}

impl State {
    fn route(&self, request: &RecordedRequest) -> Result<Endpoint, RouteError> {
        let target = request
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let read = if self.writable {
            route::read
        } else {
            route::read_only
        };
        read(&request.method, target, &request.headers)
    }

    fn serve(
        &self,
        endpoint: &Endpoint,
        request: &RecordedRequest,
    ) -> Result<ScriptedResponse, Refusal> {
        self.refuse_read(endpoint, request)?;
        match endpoint {
            Endpoint::Blob(wanted) => self.blob(wanted),
            Endpoint::Catalogue(wanted) => self.catalogue(wanted),
            Endpoint::Delete(wanted) => self.delete(wanted),
            Endpoint::Manifest(wanted) => self.manifest(wanted),
            Endpoint::ManifestPut(wanted) => self.put_manifest(wanted, request),
            Endpoint::Ping => Ok(ping()),
            Endpoint::Referrers(wanted) => self.referrers(wanted),
            Endpoint::Tags(wanted) => self.tags(wanted),
            Endpoint::Upload(wanted) => self.upload(wanted, request),
            _ => Err(RouteError::Unknown.refusal()),
        }
    }

    /// The refusal of a read that the quirks require.
    fn refuse_read(&self, endpoint: &Endpoint, request: &RecordedRequest) -> Result<(), Refusal> {
        let quirks = &self.quirks;
        let is_head = request.method == Method::HEAD;
        let accepts = request
            .header(ACCEPT.as_str())
            .is_some_and(|accept| accept != "*/*");
        let status = match endpoint {
            Endpoint::Blob(_) if is_head && quirks.blob_head.is_some() => quirks.blob_head,
            Endpoint::Blob(_) if quirks.accept_refused && accepts => {
                Some(StatusCode::NOT_ACCEPTABLE)
            }
            Endpoint::Blob(_) if request.headers.contains_key(RANGE) => quirks.range_refused,
            Endpoint::Manifest(_) if is_head => quirks.manifest_head,
            _ => None,
        };
        match status {
            Some(status) => Err(Refusal::new(status, ErrorBody::default())),
            None => Ok(()),
        }
    }

    fn manifest(&self, wanted: &ManifestRequest) -> Result<ScriptedResponse, Refusal> {
        let name = wanted.name.as_str();
        let found = match &wanted.target {
            TagOrDigest::Digest(digest) => self.contents.manifest(name, digest),
            TagOrDigest::Tag(tag) => self
                .contents
                .tagged(name, tag.as_str())
                .or_else(|| self.by_digest_tag(name, tag)),
        };
        let found =
            found.ok_or_else(|| not_found(ErrorCode::ManifestUnknown, "manifest unknown"))?;
        Ok(ScriptedResponse::of(
            wanted.answer(&found.descriptor),
            found.content,
        ))
    }

    /// The manifest whose digest is written in the tag, with a hyphen in place of the colon.
    fn by_digest_tag(&self, name: &str, tag: &Tag) -> Option<DescribedContent> {
        let digest = tag.as_str().replacen('-', ":", 1).parse().ok();
        let digest = digest.filter(|_| self.quirks.digest_tags)?;
        self.contents.manifest(name, &digest)
    }

    fn blob(&self, wanted: &BlobRequest) -> Result<ScriptedResponse, Refusal> {
        let found = self.contents.blob(wanted.name.as_str(), &wanted.digest);
        let found = found.ok_or_else(|| not_found(ErrorCode::BlobUnknown, "blob unknown"))?;
        let answer = wanted.answer(found.length())?;
        Ok(ScriptedResponse::of_blob(answer, found))
    }
}

fn ping() -> ScriptedResponse {
    let (status, headers) = PingAnswer::named().write();
    let mut answer = ScriptedResponse::status(status).body("{}");
    answer.headers = headers;
    answer
}

fn not_found(code: ErrorCode, message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorBody::one(code, message))
}

#[cfg(test)]
mod tests;
