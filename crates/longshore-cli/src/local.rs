//! Arguments that read as a reference to a registry, and are also the name of a directory.

use std::sync::{Mutex, PoisonError};

use longshore::model::ReferenceParts;
use longshore_copy::{EndName, LayoutName};

use crate::exit::{Exit, Failure};

/// Hints about directories that the arguments may mean. They are printed if the command fails.
static HINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Returns the directory that a text without the name of a registry also names, if there is one.
fn directory(text: &str) -> Option<LayoutName> {
    let parts = ReferenceParts::parse(text).ok()?;
    let layout = EndName::parse_layout(text).ok()?;
    (parts.registry.is_none() && layout.path.is_dir()).then_some(layout)
}

/// Checks an end of a copy. The name of an image layout is refused before a registry is asked; the
/// name of another directory becomes a hint.
pub(crate) fn check_end(text: &str) -> Result<(), Failure> {
    let Some(layout) = directory(text) else {
        return Ok(());
    };
    if layout.path.join("oci-layout").is_file() {
        let path = layout.path.display();
        let what = format!("\"{text}\" may be the image layout {path}, or an image in a registry");
        let hint = format!("write {layout} for the image layout, docker://{text} for the registry");
        return Err(Failure::new(Exit::Usage, &what).hint(&hint));
    }
    add(format!("if you mean the directory, write {layout}"));
    Ok(())
}

/// Notes that an argument of a command that uses registries only may mean an image layout.
pub(crate) fn note_layout(text: &str) {
    if let Some(layout) = directory(text).filter(|it| it.path.join("oci-layout").is_file()) {
        let path = layout.path.display();
        add(format!(
            "this command reads registries only, not the image layout {path}: {}",
            instead(&layout)
        ));
    }
}

/// Makes the failure of an image layout where only a registry is possible; `None` if the text names
/// no image layout.
pub(crate) fn refused(text: &str) -> Option<Failure> {
    let Ok(EndName::Layout(layout)) = EndName::parse(text) else {
        return None;
    };
    let what = format!("\"{text}\" names an image layout, and this command is for registries");
    Some(Failure::new(Exit::Usage, &what).hint(&instead(&layout)))
}

fn instead(layout: &LayoutName) -> String {
    let path = layout.path.display();
    format!("`longshore verify {path}` checks it, `longshore copy {layout} REF` sends it")
}

fn add(hint: String) {
    let mut hints = HINTS.lock().unwrap_or_else(PoisonError::into_inner);
    hints.push(hint);
}

/// Adds the hints to a failure that the meaning of an argument may explain.
pub(crate) fn explain(failure: Failure) -> Failure {
    let exits = [
        Exit::NotFound,
        Exit::Auth,
        Exit::Unavailable,
        Exit::Protocol,
    ];
    if !exits.contains(&failure.exit()) {
        return failure;
    }
    let hints = HINTS.lock().unwrap_or_else(PoisonError::into_inner);
    hints.iter().fold(failure, |it, hint| it.also_hint(hint))
}
