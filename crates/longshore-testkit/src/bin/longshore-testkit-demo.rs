//! Serves a generated multi-platform image on loopback, behind tokens, until told to stop.
//!
//! Prints one line of JSON with the addresses on standard output, then a line for each request
//! on standard error; ends when standard input does.

use std::io::{self, Write as _};
use std::process::ExitCode;

use longshore_testkit::demo::{Demo, Settings};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that standard error is closed.
            let _ = writeln!(io::stderr(), "longshore-testkit-demo: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<()> {
    let Some(settings) = settings(std::env::args().skip(1))? else {
        return io::stdout().write_all(USAGE.as_bytes());
    };
    let demo = Demo::start(&settings)?;
    demo.watch(|who, request| {
        let _ = writeln!(io::stderr(), "{who:8} {}", request.line());
    });
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", demo.to_json())?;
    stdout.flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

/// Reads the arguments; `None` when help is asked for.
fn settings(mut arguments: impl Iterator<Item = String>) -> io::Result<Option<Settings>> {
    let mut settings = Settings::default();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| invalid(&option));
        match option.as_str() {
            "--port" => settings.registry_port = port(&value()?)?,
            "--token-port" => settings.token_port = port(&value()?)?,
            "--user" => {
                let pair = value()?;
                let (name, password) = pair.split_once(':').ok_or_else(|| invalid(&option))?;
                settings.user = Some((name.to_owned(), password.to_owned()));
            }
            "--help" | "-h" => return Ok(None),
            _ => return Err(invalid(&option)),
        }
    }
    Ok(Some(settings))
}

fn port(text: &str) -> io::Result<u16> {
    text.parse().map_err(|_| invalid(text))
}

fn invalid(option: &str) -> io::Error {
    let message = format!("wrong use of {option}; --help lists the options");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

const USAGE: &str = "\
Usage: longshore-testkit-demo [--port N] [--token-port N] [--user NAME:PASSWORD]

Serves a generated multi-platform image on loopback, behind tokens, until standard input ends.
Prints where on standard output, as one line of JSON, and each request on standard error.

  --port N              port of the registry (default: any)
  --token-port N        port of the token server (default: any)
  --user NAME:PASSWORD  gives tokens to this user alone (default: to everyone)
";
