use std::sync::{Arc, Mutex};

use longshore_auth::Credential;
use longshore_model::{Digest, RepositoryName};
use longshore_origin::{Origin, Secret};
use longshore_proto::Host;
use longshore_proto::call::Ask;
use longshore_proto::endpoint::{BlobRequest, Endpoint, Read};
use longshore_transport::{Capabilities, TestClock, from_fn};

use super::*;
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
    let request = BlobRequest::new(Read::Head, "app".parse().unwrap(), Digest::sha256(b""));
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
