use std::sync::{Arc, Mutex};

use http::Response;
use longshore_auth::Credential;
use longshore_model::{Digest, RepositoryName};
use longshore_origin::{Origin, Secret};
use longshore_proto::Host;
use longshore_proto::call::Ask;
use longshore_proto::call::BodyName;
use longshore_proto::endpoint::{BlobRequest, Endpoint, ManifestPut, Read};
use longshore_transport::{Capabilities, TestClock, Transport as _, from_fn};

use super::*;
use crate::body::OpeningBody;
use crate::hosts::{HostSettings, Registry};
use crate::{Client, OneCredential};

const HOME: &str = "https://r.example.com";

type Seen = Arc<Mutex<Vec<String>>>;

/// A registry with another host in front of it, and every request as one line.
fn site(
    mirror: &str,
    answer: impl Fn(&str, Option<&str>) -> Response<&'static str> + Send + Sync + 'static,
) -> (Site, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let transport = from_fn(move |request: Request<Body>| {
        let shown = request.headers().get(header::AUTHORIZATION);
        let shown = shown.map(|value| value.to_str().unwrap().to_owned());
        let uri = request.uri().to_string();
        let uri = uri.split('?').next().unwrap_or_default();
        let line = format!("{uri} {}", shown.as_deref().unwrap_or("-"));
        log.lock().unwrap().push(line);
        let answer = answer(uri, shown.as_deref()).map(Body::from);
        async { Ok(answer) }
    });
    let password = Secret::new("hunter2".to_owned());
    let credential = Credential::basic("me", password).unwrap();
    let client = Client::builder()
        .transport(transport.declaring(Capabilities::all()))
        .clock(TestClock::default())
        .credentials(OneCredential::new("r.example.com", credential))
        .build()
        .unwrap();
    let home: Origin = HOME.parse().unwrap();
    let mirror = Host::new(mirror.parse().unwrap());
    let prefix: RepositoryName = "mirrored".parse().unwrap();
    let hosts = [mirror.with_prefix(prefix), Host::new(home.clone())].into();
    let settings = HostSettings::default();
    let registry = Registry { hosts, settings };
    (
        Site::new(client, "r.example.com".to_owned(), registry, home),
        seen,
    )
}

fn answer(status: u16, challenge: &str, body: &'static str) -> Response<&'static str> {
    let mut response = Response::builder().status(status);
    if status == 401 {
        response = response.header(header::WWW_AUTHENTICATE, challenge);
    }
    response.body(body).unwrap()
}

async fn ask(site: &Site) -> u16 {
    let request = BlobRequest::new(Read::Get, "app".parse().unwrap(), Digest::sha256(b""));
    let ask = Ask::new(Endpoint::Blob(request), Take::Nothing);
    site.drive(ask).await.unwrap().head.status.as_u16()
}

// CR7: so many token requests, for each host.
#[tokio::test]
async fn cr7_what_one_host_refused_is_not_held_against_the_next_of_the_same_origin() {
    let (site, seen) = site(HOME, |uri, shown| {
        if uri.starts_with("https://auth.example.com/") {
            return answer(200, "", r#"{"token":"t"}"#);
        }
        let mirrored = uri.contains("/mirrored/");
        match shown {
            Some("Bearer t") if !mirrored => answer(200, "", ""),
            _ => answer(401, r#"Bearer realm="https://auth.example.com/t""#, ""),
        }
    });
    assert_eq!(ask(&site).await, 200);
    let seen = seen.lock().unwrap();
    let to = |text: &str| seen.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (to("/v2/mirrored/app/"), to("/v2/app/")),
        (2, 2),
        "{seen:?}"
    );
    assert_eq!(to("https://auth.example.com/"), 2, "{seen:?}");
}

// CR1: the password of the registry is not its mirror's.
#[tokio::test]
async fn cr1_a_host_in_front_of_the_registry_gets_none_of_its_secrets() {
    let (site, seen) = site("https://mirror.example.com", |uri, shown| {
        match (uri.starts_with(HOME), shown) {
            (true, Some(_)) => answer(200, "", ""),
            _ => answer(401, "Basic realm=\"x\"", ""),
        }
    });
    assert_eq!(ask(&site).await, 200);
    let shown = |host: &str| -> Vec<String> {
        let seen = seen.lock().unwrap();
        let lines = seen.iter().filter(|line| line.starts_with(host));
        let shown = lines.filter_map(|line| line.rsplit_once(' '));
        shown.map(|(_, shown)| shown.to_owned()).collect()
    };
    assert_eq!(shown("https://mirror.example.com"), ["-"]);
    assert_eq!(shown(HOME), ["-", "bWU6aHVudGVyMg=="]);
    // Nor when it is known by now.
    assert_eq!(ask(&site).await, 200);
    assert_eq!(shown("https://mirror.example.com"), ["-", "-"]);
}

/// A body in memory that counts how often it is opened.
struct Document(Mutex<u32>);

const DOCUMENT: &str = "the document";

impl OpenBody for Document {
    fn open(&self, name: BodyName) -> OpeningBody<'_> {
        *self.0.lock().unwrap() += 1;
        let offset = usize::try_from(name.offset).unwrap();
        Box::pin(async move { Ok(Body::from(&DOCUMENT[offset..])) })
    }
}

/// A body that cannot be opened.
struct Unreadable;

impl OpenBody for Unreadable {
    fn open(&self, _: BodyName) -> OpeningBody<'_> {
        Box::pin(async { Err(std::io::ErrorKind::PermissionDenied.into()) })
    }
}

/// Makes a site that gets these answers in order, and a log of what each request sent.
fn scripted(answers: &'static [(u16, &str, &str)]) -> (Site, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let transport = from_fn(move |request: Request<Body>| {
        let log = Arc::clone(&log);
        async move {
            let (head, mut body) = request.into_parts();
            let mut sent = Vec::new();
            while let Some(frame) = body.frame().await {
                sent.extend_from_slice(&frame?.into_data().unwrap_or_default());
            }
            let shown = head.headers.get(header::AUTHORIZATION);
            let shown = shown.map_or("-", |value| value.to_str().unwrap());
            let sent = String::from_utf8(sent).unwrap();
            let line = format!("{} {} {shown} {sent}", head.method, head.uri);
            let (status, name, value) = {
                let mut log = log.lock().unwrap();
                log.push(line);
                answers[log.len() - 1]
            };
            let mut response = Response::builder().status(status);
            let mut body = "";
            match name {
                "" => body = value,
                name => response = response.header(name, value),
            }
            Ok(response.body(Body::from(body)).unwrap())
        }
    });
    let client = Client::builder()
        .transport(transport.declaring(Capabilities::all()))
        .clock(TestClock::default())
        .build()
        .unwrap();
    let home: Origin = HOME.parse().unwrap();
    let registry = Registry {
        hosts: [Host::new(home.clone())].into(),
        settings: HostSettings::default(),
    };
    (
        Site::new(client, "r.example.com".to_owned(), registry, home),
        seen,
    )
}

fn put() -> Ask {
    let media_type = longshore_model::MediaType::OCI_MANIFEST;
    let request = ManifestPut::new("app".parse().unwrap(), "v1".parse().unwrap(), media_type);
    let mut ask = Ask::new(Endpoint::ManifestPut(request), Take::Nothing);
    ask.body = Some(BodyName {
        offset: 0,
        length: Some(DOCUMENT.len() as u64),
    });
    ask
}

// RD3, RT4: after there is a token, a body is opened again for each request that carries it.
#[tokio::test]
async fn rd3_a_write_is_sent_whole_after_a_challenge_a_failure_and_a_redirect() {
    let (site, seen) = scripted(&[
        (
            401,
            "www-authenticate",
            r#"Bearer realm="https://r.example.com/token",service="r""#,
        ),
        (200, "", r#"{"token":"t"}"#),
        (503, "", ""),
        (307, "location", "/moved"),
        (201, "", ""),
    ]);
    let document = Document(Mutex::default());
    let mut auth = AuthCall::new();
    let answer = site.drive_with(put(), &document, &mut auth).await;
    assert_eq!(answer.unwrap().head.status.as_u16(), 201);
    // CR8: writing needs a token for writing.
    let scope = "repository%3Aapp%3Apull%2Cpush";
    let path = "https://r.example.com/v2/app/manifests/v1";
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "GET https://r.example.com/v2/ - ".to_owned(),
            format!("GET https://r.example.com/token?service=r&scope={scope} - "),
            format!("PUT {path} Bearer t {DOCUMENT}"),
            format!("PUT {path} Bearer t {DOCUMENT}"),
            format!("PUT https://r.example.com/moved Bearer t {DOCUMENT}"),
        ]
    );
    assert_eq!(*document.0.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_body_that_cannot_be_opened_ends_the_call() {
    let (site, seen) = scripted(&[(200, "", "")]);
    let error = site
        .drive_with(put(), &Unreadable, &mut AuthCall::new())
        .await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Body);
    assert_eq!(
        error.to_string(),
        "cannot push manifest v1 of app to r.example.com: the content to send cannot be read"
    );
    let ping = "GET https://r.example.com/v2/ - ";
    assert_eq!(*seen.lock().unwrap(), [ping]);
}
