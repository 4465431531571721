//! A tree as an OCI image layout, for tools that read one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use longshore_model::Descriptor;

use super::document::layout_index;
use super::tree::{DescribedContent, Tree};

/// Writes trees under their tags as an OCI image layout in `directory`, which is created.
///
/// This is deliberately not `longshore-layout`: tests of that crate compare with this one.
///
/// # Errors
///
/// Those of the file system.
pub fn write_layout(directory: &Path, tagged: &[(&str, &Tree)]) -> io::Result<()> {
    for (_, tree) in tagged {
        for stored in tree.documents().into_iter().chain(tree.all_blobs()) {
            write_blob(directory, stored)?;
        }
    }
    fs::write(
        directory.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let manifests: Vec<Descriptor> = tagged
        .iter()
        .map(|(tag, tree)| {
            let mut descriptor = tree.descriptor().clone();
            descriptor
                .annotations
                .insert(REF_NAME.to_owned(), (*tag).to_owned());
            descriptor
        })
        .collect();
    fs::write(
        directory.join("index.json"),
        serde_json::to_vec(&layout_index(&manifests))?,
    )
}

fn write_blob(directory: &Path, stored: &DescribedContent) -> io::Result<()> {
    let digest = &stored.descriptor.digest;
    let folder = directory.join("blobs").join(digest.algorithm().as_str());
    fs::create_dir_all(&folder)?;
    let mut file = BufWriter::new(File::create(folder.join(digest.encoded()))?);
    stored.content.write_to(&mut file)?;
    file.flush()
}

/// image-spec v1.1.1 "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";
