//! TLS: good and bad certificates, and peers that do not answer with TLS.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use longshore_testkit::Listen;
use longshore_testkit::certificate::{Authority, Identity};
use longshore_testkit::image;
use longshore_testkit::raw::RawServer;
use longshore_testkit::registry::Registry;
use longshore_tests::longshore::{Ended, Longshore};
use tempfile::tempdir;

/// Runs `digest` on a registry with this certificate, with this PEM text as `--ca-file`. Returns
/// the result and the right digest.
fn digest(identity: Identity, trusted: &str) -> (Ended, String) {
    let tree = image::single(1);
    let registry = Registry::builder()
        .listen(Listen::loopback().tls(identity))
        .image("a", "1", &tree)
        .start()
        .unwrap();
    let place = tempdir().unwrap();
    let ca = place.path().join("ca.pem");
    std::fs::write(&ca, trusted).unwrap();
    let reference = format!("localhost:{}/a:1", registry.address().port());
    let digest = Longshore::new(["digest", &reference, "--ca-file"]).args([ca]);
    (digest.run(), tree.digest().to_string())
}

#[test]
fn a_server_certificate_in_the_ca_file_is_trusted_without_its_issuer() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    for identity in [
        Identity::self_signed_authority(&["localhost"]),
        Identity::self_signed(&["localhost"]),
        // Without the authority that signed it.
        stranger.server(&["localhost"]),
    ] {
        let trusted = identity.certificate_pem().to_owned() + &ours.pem();
        let (ended, expected) = digest(identity, &trusted);
        assert_eq!(ended.succeeded(), expected);
    }
}

#[test]
fn dates_and_names_of_a_certificate_in_the_ca_file_are_checked() {
    let authority = Authority::new();
    for (identity, words, hint) in [
        (
            Identity::self_signed_authority(&["registry.example"]),
            "not valid for name",
            "use a host name that the certificate covers",
        ),
        (
            authority.expired(&["localhost"]),
            "expired",
            "must be renewed",
        ),
        (
            authority.not_yet_valid(&["localhost"]),
            "not valid yet",
            "check the clock",
        ),
    ] {
        let trusted = identity.certificate_pem().to_owned();
        let (ended, _) = digest(identity, &trusted);
        ended.failed_with_hint(6, &[words, hint]);
    }
}

#[test]
fn the_hint_names_what_is_wrong_with_a_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (identity, hint) in [
        (authority.expired(&["localhost"]), "must be renewed"),
        (authority.not_yet_valid(&["localhost"]), "check the clock"),
        (
            authority.server(&["registry.example"]),
            "use a host name that the certificate covers",
        ),
        (stranger.server(&["localhost"]), "give --ca-file FILE"),
        (
            Identity::self_signed_authority(&["localhost"]),
            "give --ca-file FILE",
        ),
    ] {
        let (ended, _) = digest(identity, &authority.pem());
        ended.failed_with_hint(6, &[hint]);
    }
    // TLS alerts (RFC 8446 §6.2): handshake failure, protocol version, certificate required.
    for (alert, hint) in [
        (40, "TLS 1.2 and 1.3"),
        (70, "TLS 1.2 and 1.3"),
        (116, "wants a client certificate"),
    ] {
        let server = RawServer::start(vec![21, 3, 3, 0, 2, 2, alert]).unwrap();
        let digest = Longshore::new(["digest", &format!("{}/a:1", server.address())]);
        digest.run().failed_with_hint(6, &[hint]);
    }
}

/// How a peer reacts to the first message of a TLS handshake.
#[derive(Clone, Copy, Debug)]
enum Hello {
    Ends,
    Resets,
    Ignores,
}

/// Forwards everything except TLS to this address.
fn forward(to: SocketAddr, hello: Hello) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                // A client that closes the connection ends it.
                let _ = serve(stream?, to, hello);
                io::Result::Ok(())
            });
        }
    });
    address
}

fn serve(mut stream: TcpStream, to: SocketAddr, hello: Hello) -> io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first)?;
    let is_tls = first == [22];
    match hello {
        // Closing with bytes unread resets the connection.
        Hello::Resets if is_tls => return Ok(()),
        Hello::Ends if is_tls => {
            let _ = stream.read(&mut [0; 64 * 1024])?;
            return stream.shutdown(Shutdown::Both);
        }
        Hello::Ignores if is_tls => return io::copy(&mut stream, &mut io::sink()).map(drop),
        _ => {}
    }
    let mut onward = TcpStream::connect(to)?;
    let (mut back, mut source) = (stream.try_clone()?, onward.try_clone()?);
    thread::spawn(move || io::copy(&mut source, &mut back));
    io::copy(&mut stream, &mut onward)?;
    onward.shutdown(Shutdown::Both)
}

// RT12
#[test]
fn rt12_plain_http_on_loopback_is_found_behind_a_peer_that_drops_the_tls_hello() {
    let tree = image::single(2);
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    for hello in [Hello::Ends, Hello::Resets, Hello::Ignores] {
        let address = forward(registry.address(), hello);
        for host in ["localhost", "127.0.0.1"] {
            let reference = format!("{host}:{}/a:1", address.port());
            let ended = Longshore::new(["digest", &reference]).run();
            assert_eq!(ended.succeeded(), tree.digest().as_str(), "{hello:?}");
        }
    }
}
