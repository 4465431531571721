//! Serves the files of a registry behind tokens, and takes its time over each answer.
//!
//! What a registry far away costs a client is answers waited for one after another. This one is
//! near and waits on purpose: so many milliseconds before each answer, whatever it is. Every
//! request without the token is refused with a challenge; the token server is the same server.
//! A line for each request goes to standard output: connection, method, path, status.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

const USAGE: &str = "bench-registry ROOT DELAY_MS";

const TOKEN: &str = "a-token-for-everybody";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [root, delay] = words.as_slice() else {
        return Err(io::Error::other(USAGE));
    };
    let delay = Duration::from_millis(delay.parse().map_err(io::Error::other)?);
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    thread::scope(|scope| {
        for number in 1_u64.. {
            let (stream, _) = listener.accept()?;
            scope.spawn(move || serve(number, &stream, Path::new(root), delay));
        }
        Ok(())
    })
}

/// Answers the requests of one connection; a client that goes away ends it.
fn serve(number: u64, stream: &TcpStream, root: &Path, delay: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let host = stream.local_addr()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        thread::sleep(delay);
        let status = answer(stream, root, &host.to_string(), &request)?;
        println!("{number} {} {} {status}", request.method, request.path);
    }
    Ok(())
}

struct Request {
    method: String,
    path: String,
    authorized: bool,
}

impl Request {
    /// Reads a head; `None` at the end of the connection. Bodies are not expected.
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let mut authorized = false;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").unwrap_or((header, ""));
            let bearer = value.strip_prefix("Bearer ");
            authorized |= name.eq_ignore_ascii_case("authorization") && bearer == Some(TOKEN);
        }
        Ok(Some(Self {
            method,
            path,
            authorized,
        }))
    }
}

fn answer(stream: &TcpStream, root: &Path, host: &str, request: &Request) -> io::Result<u16> {
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        let body = format!("{{\"token\":\"{TOKEN}\",\"expires_in\":300}}");
        return whole(stream, 200, "Content-Type: application/json", &body);
    }
    if !request.authorized {
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token\",\
             service=\"bench\",scope=\"repository:{}:pull\"",
            repository(path)
        );
        return whole(stream, 401, &challenge, "");
    }
    if path == "/v2/" {
        return whole(stream, 200, "Content-Type: application/json", "{}");
    }
    let file = File::open(root.join(path.trim_start_matches('/')));
    let Ok(mut file) = file.and_then(|file| {
        file.metadata()?
            .is_file()
            .then_some(file)
            .ok_or(io::ErrorKind::IsADirectory.into())
    }) else {
        return whole(stream, 404, "Content-Type: application/json", "{}");
    };
    let content_type = match path.contains("/manifests/") {
        true => MANIFEST_TYPE,
        false => "application/octet-stream",
    };
    let length = file.metadata()?.len();
    head(
        stream,
        200,
        &format!("Content-Type: {content_type}"),
        length,
    )?;
    if request.method == "GET" {
        io::copy(&mut file, &mut &*stream)?;
    }
    Ok(200)
}

/// `/v2/a/b/manifests/latest` is about `a/b`.
fn repository(path: &str) -> &str {
    let path = path.strip_prefix("/v2/").unwrap_or(path);
    let end = path.find("/manifests/").or_else(|| path.find("/blobs/"));
    path.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn whole(stream: &TcpStream, status: u16, header: &str, body: &str) -> io::Result<u16> {
    head(stream, status, header, body.len() as u64)?;
    (&*stream).write_all(body.as_bytes())?;
    Ok(status)
}

fn head(mut stream: &TcpStream, status: u16, header: &str, length: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} .\r\n{header}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())
}
