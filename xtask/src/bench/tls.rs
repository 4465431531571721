//! A certificate authority for one run, and a server's certificate from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of one authority and of the one server that it certifies.
pub(super) struct Certificates {
    /// The directory of `ca.crt`, for skopeo.
    pub(super) directory: PathBuf,
    /// The authority's own certificate.
    pub(super) authority: PathBuf,
    /// The server's certificate.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes them with the `openssl` command.
    pub(super) fn make(openssl: &Path, below: &Path) -> Result<Self, String> {
        let made = Self {
            directory: below.join("trust"),
            authority: below.join("trust/ca.crt"),
            certificate: below.join("server.crt"),
            key: below.join("server.key"),
        };
        let extensions = below.join("extensions");
        let (authority_key, request) = (below.join("ca.key"), below.join("server.csr"));
        fs::create_dir_all(&made.directory)
            .and_then(|()| fs::write(&extensions, EXTENSIONS))
            .map_err(|error| format!("{}: {error}", below.display()))?;
        let (authority_key, request) = (authority_key.as_path(), request.as_path());
        let new_key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        run(Command::new(openssl)
            .args(["req", "-x509", "-days", "2", "-subj", "/CN=bench authority"])
            .args(new_key)
            .arg("-keyout")
            .arg(authority_key)
            .arg("-out")
            .arg(&made.authority))?;
        run(Command::new(openssl)
            .args(["req", "-subj", "/CN=bench server"])
            .args(new_key)
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(request))?;
        run(Command::new(openssl)
            .args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
            .arg(request)
            .arg("-CA")
            .arg(&made.authority)
            .arg("-CAkey")
            .arg(authority_key)
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&made.certificate))?;
        Ok(made)
    }
}

const EXTENSIONS: &str = "subjectAltName = IP:127.0.0.1\n\
                          basicConstraints = critical, CA:FALSE\n\
                          extendedKeyUsage = serverAuth\n";

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("openssl: {}\n{said}", output.status))
    }
}
