//! What the registry holds, and how it answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::request::Request;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Of upload sessions, whose numbers follow.
const UPLOADS: &str = "uploads/";

/// A tree of files, and what was uploaded.
pub(crate) struct Registry {
    root: PathBuf,
    address: SocketAddr,
    tokens: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The scopes of each token; its text is its index.
    tokens: Vec<Vec<String>>,
    /// The bytes received in each upload session that is open.
    sessions: BTreeMap<u64, u64>,
    opened: u64,
    /// The lengths of uploaded blobs, by repository and digest.
    blobs: BTreeMap<(String, String), u64>,
    /// Uploaded manifests with their types, by repository and tag or digest.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
}

/// The parts of a path such as `/v2/a/b/manifests/latest`.
#[derive(Clone, Copy)]
struct Place<'a> {
    repository: &'a str,
    is_manifest: bool,
    /// A tag, a digest, or an upload.
    name: &'a str,
}

impl<'a> Place<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/v2/")?;
        let manifest = path.split_once("/manifests/");
        let (repository, name) = manifest.or_else(|| path.split_once("/blobs/"))?;
        Some(Self {
            repository,
            is_manifest: manifest.is_some(),
            name,
        })
    }
}

impl Registry {
    pub(crate) fn new(root: PathBuf, address: SocketAddr, tokens: bool) -> Self {
        Self {
            root,
            address,
            tokens,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let (path, query) = request.parts();
        if path == "/token" {
            return self.new_token(query);
        }
        let place = Place::parse(path);
        if let Some(refusal) = self.refusal(request, place) {
            return refusal;
        }
        let Some(place) = place else {
            return match path {
                "/v2/" => Answer::new(200).json("{}"),
                _ => Answer::error(404, "NAME_UNKNOWN"),
            };
        };
        match (place.is_manifest, request.method.as_str()) {
            (true, "PUT") => self.put_manifest(place, request),
            (_, "GET" | "HEAD") if !place.name.starts_with(UPLOADS) => self.get(path, place),
            (false, "POST") if place.name == UPLOADS => self.start(place, query, request),
            (false, _) => self.upload(place, query, request),
            _ => Answer::error(405, "UNSUPPORTED"),
        }
    }

    /// A token for the scopes that the query names.
    fn new_token(&self, query: &str) -> Answer {
        let scopes = parameters(query, "scope");
        let scopes = scopes.iter().flat_map(|scope| scope.split(' '));
        let scopes = scopes.map(str::to_owned).collect();
        let mut state = self.state();
        state.tokens.push(scopes);
        let token = state.tokens.len() - 1;
        Answer::new(200).json(&format!("{{\"token\":\"{token}\",\"expires_in\":300}}"))
    }

    /// The challenge for a request whose token does not permit it.
    fn refusal(&self, request: &Request, place: Option<Place<'_>>) -> Option<Answer> {
        if !self.tokens {
            return None;
        }
        let actions: &[&str] = match request.method.as_str() {
            "GET" | "HEAD" => &["pull"],
            _ => &["pull", "push"],
        };
        let state = self.state();
        let token = request.token.as_ref().and_then(|token| token.parse().ok());
        let scopes = token.and_then(|token: usize| state.tokens.get(token));
        let permitted = |repository: &str| {
            let prefix = format!("repository:{repository}:");
            let scopes = scopes.into_iter().flatten();
            let granted: Vec<&str> = scopes
                .filter_map(|scope| scope.strip_prefix(&prefix))
                .flat_map(|granted| granted.split(','))
                .collect();
            actions.iter().all(|action| granted.contains(action))
        };
        let (enough, scope) = match place {
            Some(Place { repository, .. }) => (
                permitted(repository),
                format!(",scope=\"repository:{repository}:{}\"", actions.join(",")),
            ),
            None => (scopes.is_some(), String::new()),
        };
        let realm = format!("http://{}/token", self.address);
        let challenge = format!("Bearer realm=\"{realm}\",service=\"bench\"{scope}");
        let refused = || Answer::error(401, "UNAUTHORIZED").field("WWW-Authenticate", challenge);
        (!enough).then(refused)
    }

    fn get(&self, path: &str, place: Place<'_>) -> Answer {
        let state = self.state();
        let key = (place.repository.to_owned(), place.name.to_owned());
        if let Some((content_type, manifest)) = state.manifests.get(&key) {
            return Answer::new(200)
                .field("Docker-Content-Digest", digest(manifest))
                .bytes(content_type, manifest);
        }
        if let Some(length) = state.blobs.get(&key) {
            return Answer::new(200).discarded(*length);
        }
        drop(state);
        let (content_type, unknown) = match place.is_manifest {
            true => (MANIFEST_TYPE, "MANIFEST_UNKNOWN"),
            false => ("application/octet-stream", "BLOB_UNKNOWN"),
        };
        File::open(self.root.join(path.trim_start_matches('/')))
            .and_then(|file| Answer::new(200).file(content_type, file))
            .unwrap_or_else(|_| Answer::error(404, unknown))
    }

    /// Starts an upload, or does all of it: mounts a blob, or takes it in this request.
    fn start(&self, place: Place<'_>, query: &str, request: &Request) -> Answer {
        let first = |name: &str| parameters(query, name).into_iter().next();
        let mut state = self.state();
        if let (Some(digest), Some(from)) = (first("mount"), first("from"))
            && let Some(length) = self.blob(&state, &from, &digest)
        {
            return state.store(place, digest, length);
        }
        if let Some(digest) = first("digest") {
            return state.store(place, digest, request.received);
        }
        state.opened += 1;
        let session = state.opened;
        state.sessions.insert(session, 0);
        progress(202, place, session, 0)
    }

    /// Continues, asks for, ends or cancels an upload.
    fn upload(&self, place: Place<'_>, query: &str, request: &Request) -> Answer {
        let number = place.name.strip_prefix(UPLOADS);
        let number = number.and_then(|number| number.parse().ok());
        let mut state = self.state();
        let Some((session, received)) =
            number.and_then(|number: u64| Some((number, state.sessions.remove(&number)?)))
        else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        let received = received + request.received;
        let status = match request.method.as_str() {
            "DELETE" => return Answer::new(204),
            "PUT" => {
                return match parameters(query, "digest").into_iter().next() {
                    Some(digest) => state.store(place, digest, received),
                    None => Answer::error(400, "DIGEST_INVALID"),
                };
            }
            "PATCH" => 202,
            _ => 204,
        };
        state.sessions.insert(session, received);
        progress(status, place, session, received)
    }

    /// Keeps a manifest if its blobs are here.
    fn put_manifest(&self, place: Place<'_>, request: &Request) -> Answer {
        let Ok(text) = str::from_utf8(&request.manifest) else {
            return Answer::error(400, "MANIFEST_INVALID");
        };
        let mut state = self.state();
        let named = text.split("\"digest\":\"").skip(1);
        let named = named.filter_map(|rest| rest.split('"').next());
        for blob in named {
            if self.blob(&state, place.repository, blob).is_none() {
                return Answer::error(404, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let digest = digest(&request.manifest);
        for name in [place.name, &digest] {
            let key = (place.repository.to_owned(), name.to_owned());
            let manifest = (request.content_type.clone(), request.manifest.clone());
            state.manifests.insert(key, manifest);
        }
        Answer::new(201)
            .field(
                "Location",
                format!("/v2/{}/manifests/{digest}", place.repository),
            )
            .field("Docker-Content-Digest", digest)
    }

    /// The length of a blob that was uploaded or is in the tree.
    fn blob(&self, state: &State, repository: &str, digest: &str) -> Option<u64> {
        let key = (repository.to_owned(), digest.to_owned());
        let path = format!("v2/{repository}/blobs/{digest}");
        let in_tree = || Some(self.root.join(path).metadata().ok()?.len());
        state.blobs.get(&key).copied().or_else(in_tree)
    }
}

impl State {
    fn store(&mut self, place: Place<'_>, digest: String, length: u64) -> Answer {
        let key = (place.repository.to_owned(), digest.clone());
        self.blobs.insert(key, length);
        Answer::new(201)
            .field(
                "Location",
                format!("/v2/{}/blobs/{digest}", place.repository),
            )
            .field("Docker-Content-Digest", digest)
    }
}

fn progress(status: u16, place: Place<'_>, session: u64, received: u64) -> Answer {
    let last = received.saturating_sub(1);
    Answer::new(status)
        .field(
            "Location",
            format!("/v2/{}/blobs/{UPLOADS}{session}", place.repository),
        )
        .field("Docker-Upload-UUID", session.to_string())
        .field("Range", format!("0-{last}"))
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The decoded values of a query's parameter.
fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(known, _)| *known == name);
    values.map(|(_, value)| decoded(value)).collect()
}

/// Percent-decoding, and `+` for a space.
fn decoded(value: &str) -> String {
    let value = value.replace('+', " ");
    let mut pieces = value.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        text.extend(code.map(char::from));
        text.push_str(piece.get(2..).unwrap_or_default());
    }
    text
}
