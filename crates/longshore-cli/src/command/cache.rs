//! `longshore cache client-config CLIENT`

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use longshore_cache::server::client_config::{
    ClientConfig as Made, ClientFile, client_config, local_url,
};
use serde_json::json;

use crate::args::{ClientConfig, Output};
use crate::exit::{Exit, Failure};
use crate::file::OutputFile;
use crate::output;
use crate::settings;

pub(crate) fn client(args: &ClientConfig) -> Result<(), Failure> {
    // The directory is not used, so it need not be known.
    let sources = settings::sources(&args.upstreams)?.default_store_path("/");
    let config = settings::parse(&sources)?;
    let server = args.server.clone().or_else(|| local_url(&config));
    let server = server.ok_or_else(|| {
        let what = "the configuration has no address of the cache";
        Failure::new(Exit::Usage, what).hint("give --server URL")
    })?;
    let made = client_config(args.client.into(), &server, &config.upstream);
    let written = match args.install {
        true => Some(install(&made, &args.root, args.force)?),
        false => None,
    };
    match args.output {
        Output::Text => {
            match written {
                Some(lines) if lines.is_empty() => {}
                Some(lines) => output::text(&lines.join("\n"))?,
                None => print(&made)?,
            }
            made.notes
                .iter()
                .for_each(|note| output::note(&format!("note: {note}")));
            Ok(())
        }
        Output::Json => {
            let files = made.files.iter().map(
                |file| json!({ "path": file.path.display().to_string(), "content": file.content }),
            );
            output::json(&json!({
                "server": server.to_string(),
                "files": files.collect::<Vec<_>>(),
                "arguments": made.arguments,
                "notes": made.notes,
                "installed": args.install,
            }))
        }
    }
}

/// Prints each file after a line with its path, or the options.
fn print(made: &Made) -> Result<(), Failure> {
    if made.files.is_empty() && made.arguments.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for file in &made.files {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("# {}\n{}", file.path.display(), file.content));
    }
    for argument in &made.arguments {
        text.push_str(&format!("'{argument}'\n"));
    }
    output::text(text.trim_end())
}

/// Writes all files below a directory, or none if one of them is refused. Returns a line for each
/// file. If there is nothing to set, that is no failure; the notes say why.
fn install(made: &Made, root: &Path, force: bool) -> Result<Vec<String>, Failure> {
    if !made.arguments.is_empty() {
        let what = "this client has no configuration file to install";
        let hint = "omit --install, and follow the printed options and notes";
        return Err(Failure::new(Exit::Unsupported, what).hint(hint));
    }
    let mut writes = Vec::new();
    let mut refused = Vec::new();
    for file in &made.files {
        let write = Write::plan(file, root)?;
        if write.replaces() && !force {
            let what = format!("{} exists and has other content", write.path.display());
            let hint = "run the command without --install to compare; --force replaces the file \
                        and keeps a backup";
            refused.push(Failure::new(Exit::Disk, &what).hint(hint));
        }
        writes.push(write);
    }
    Failure::all(refused)?;
    writes.into_iter().map(Write::carry_out).collect()
}

/// A file to write.
struct Write {
    path: PathBuf,
    content: String,
    existing: Option<String>,
}

impl Write {
    fn plan(file: &ClientFile, root: &Path) -> Result<Self, Failure> {
        let below = file.path.strip_prefix("/").unwrap_or(&file.path);
        let path = root.join(below);
        if root != Path::new("/") {
            refuse_links(root, below)?;
        }
        let existing = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::file(&path, error)),
        };
        let content = match &existing {
            None => file.content.clone(),
            Some(text) => file.content_over(text).map_err(|error| {
                let what = format!("cannot change {}", path.display());
                Failure::caused(Exit::Other, what, &error).hint("correct the file, or move it")
            })?,
        };
        Ok(Self {
            path,
            content,
            existing,
        })
    }

    fn replaces(&self) -> bool {
        self.existing.as_ref().is_some_and(|it| *it != self.content)
    }

    fn carry_out(self) -> Result<String, Failure> {
        if self.existing.as_ref() == Some(&self.content) {
            return Ok(format!("{} is up to date", self.path.display()));
        }
        let failed = |error| Failure::file(&self.path, error);
        let mut line = format!("wrote {}", self.path.display());
        if self.existing.is_some() {
            let backup = back_up(&self.path).map_err(failed)?;
            line = format!("{line}; the old file is {}", backup.display());
        } else if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let mut file = OutputFile::open(&self.path).map_err(failed)?;
        file.write_all(self.content.as_bytes()).map_err(failed)?;
        file.commit().map_err(failed)?;
        Ok(line)
    }
}

/// Maximum number of backups of a file.
const BACKUPS_LIMIT: usize = 1000;

/// Copies a file to the first free name of `FILE.bak-1`, `FILE.bak-2` and so on.
fn back_up(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=BACKUPS_LIMIT {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bak-{number}"));
        let backup = PathBuf::from(name);
        match File::create_new(&backup) {
            Ok(_) => {
                fs::copy(path, &backup)?;
                File::open(&backup)?.sync_all()?;
                return Ok(backup);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let what = format!("there are {BACKUPS_LIMIT} backups of it already");
    Err(io::Error::other(what))
}

/// Refuses a path below another root that has a link in it: the link is one of that root, and here
/// it would lead to files outside of it.
fn refuse_links(root: &Path, below: &Path) -> Result<(), Failure> {
    let mut path = root.to_owned();
    for part in below.components() {
        path.push(part);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
        if is_link {
            let what = format!(
                "{} is a symbolic link, which may lead out of --root",
                path.display()
            );
            return Err(Failure::new(Exit::Destination, &what)
                .hint("replace the link by a directory or file, or remove it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tempfile::tempdir;

    use super::*;
    use crate::args::{Args, CacheCommand, Command};

    fn run(root: &Path, options: &[&str]) -> Result<(), Failure> {
        let root = root.to_str().unwrap();
        let words = [
            "longshore",
            "cache",
            "client-config",
            "--install",
            "--root",
            root,
        ];
        let parsed = Args::try_parse_from(words.iter().chain(options)).unwrap();
        let Command::Cache(CacheCommand::ClientConfig(args)) = parsed.command else {
            panic!("not client-config");
        };
        client(&args)
    }

    fn read(root: &Path, path: &str) -> String {
        fs::read_to_string(root.join(path)).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_link_below_the_root_is_refused() {
        use std::os::unix::fs::symlink;

        for link in ["etc", "etc/docker", "etc/docker/daemon.json"] {
            let (root, outside) = (tempdir().unwrap(), tempdir().unwrap());
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(outside.path().join("target"), &link).unwrap();
            let failure = run(root.path(), &["docker", "--force"]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Destination);
            assert!(
                failure.to_string().contains("is a symbolic link"),
                "{failure}"
            );
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn files_are_written_below_the_root() {
        let root = tempdir().unwrap();
        let upstream = "--upstream=quay.io=https://quay.io";
        run(root.path(), &["containerd", upstream]).unwrap();
        let hosts = read(root.path(), "etc/containerd/certs.d/quay.io/hosts.toml");
        assert!(
            hosts.starts_with("server = \"https://quay.io\"\n\n[host.\"http://127.0.0.1:5000\"]")
        );
        assert!(
            !root
                .path()
                .join("etc/containerd/certs.d/docker.io")
                .exists()
        );
        // The second run changes nothing and refuses nothing.
        run(root.path(), &["containerd", upstream]).unwrap();
        let names = fs::read_dir(root.path().join("etc/containerd/certs.d/quay.io")).unwrap();
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn a_file_that_differs_is_refused_and_replaced_with_force_after_a_backup() {
        let root = tempdir().unwrap();
        let path = "etc/rancher/k3s/registries.yaml";
        fs::create_dir_all(root.path().join("etc/rancher/k3s")).unwrap();
        fs::write(root.path().join(path), "old").unwrap();
        let failure = run(root.path(), &["k3s"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Disk);
        assert!(
            failure
                .to_string()
                .contains("registries.yaml exists and has other content"),
            "{failure}"
        );
        assert!(failure.to_string().contains("--force"), "{failure}");
        assert_eq!(read(root.path(), path), "old");
        run(root.path(), &["k3s", "--force"]).unwrap();
        assert!(read(root.path(), path).starts_with("mirrors:\n"));
        assert_eq!(read(root.path(), &format!("{path}.bak-1")), "old");
        fs::write(root.path().join(path), "newer").unwrap();
        run(root.path(), &["k3s", "--force"]).unwrap();
        assert_eq!(read(root.path(), &format!("{path}.bak-1")), "old");
        assert_eq!(read(root.path(), &format!("{path}.bak-2")), "newer");
    }

    #[test]
    fn if_one_file_is_refused_none_is_written() {
        let root = tempdir().unwrap();
        let directory = root.path().join("etc/containerd/certs.d/_default");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("hosts.toml"), "old").unwrap();
        run(root.path(), &["containerd"]).unwrap_err();
        assert!(
            !root
                .path()
                .join("etc/containerd/certs.d/docker.io")
                .exists()
        );
    }

    #[test]
    fn the_other_settings_of_a_daemon_json_are_kept() {
        let root = tempdir().unwrap();
        let path = "etc/docker/daemon.json";
        fs::create_dir_all(root.path().join("etc/docker")).unwrap();
        fs::write(root.path().join(path), "{\"data-root\": \"/docker\"}").unwrap();
        run(
            root.path(),
            &["docker", "--force", "--server=http://127.0.0.1:5001"],
        )
        .unwrap();
        let found: serde_json::Value = serde_json::from_str(&read(root.path(), path)).unwrap();
        assert_eq!(
            found,
            json!({"data-root": "/docker", "registry-mirrors": ["http://127.0.0.1:5001"]})
        );
        fs::write(root.path().join(path), "{").unwrap();
        let failure = run(root.path(), &["docker", "--force"]).unwrap_err();
        assert!(failure.to_string().contains("cannot change"), "{failure}");
        assert_eq!(read(root.path(), path), "{");
    }

    #[test]
    fn if_there_is_nothing_to_set_nothing_is_written() {
        let root = tempdir().unwrap();
        run(
            root.path(),
            &["docker", "--upstream=quay.io=https://quay.io"],
        )
        .unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_client_without_files_cannot_be_installed() {
        let root = tempdir().unwrap();
        let failure = run(root.path(), &["kaniko"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Unsupported);
    }
}
