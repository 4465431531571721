//! `longshore tags REPOSITORY` and `longshore repos REGISTRY`

use longshore::List;
use longshore::model::{Digest, Reference, ReferenceParts, RepositoryName, Tag};
use longshore::origin::Escaped;
use serde_json::json;

use crate::args::{Connection, Output, Page, Repos, Tags};
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) async fn tags(args: Tags) -> Result<(), Failure> {
    let reference = repository(&args.repository)?;
    let client = connect::client(&args.connection, reference.registry())?;
    let repository = client.repository(&reference).await?;
    let list = repository.tags(None, args.page.last.as_deref());
    let names = take(list, &args.page, Entry::of_tags).await?;
    let head = json!({
        "registry": reference.registry(),
        "repository": reference.repository_str(),
    });
    print(&args.connection, head, "tags", &names)
}

/// Parses the name of a repository. A tag or digest is refused, because a list has no use for it.
fn repository(text: &str) -> Result<Reference, Failure> {
    let reference = connect::reference(text)?;
    match ReferenceParts::parse(text) {
        Ok(parts) if parts.tag.is_some() || parts.digest.is_some() => {
            let what = format!("\"{text}\" names one image, and tags are those of a repository");
            Err(Failure::new(Exit::Reference, &what).hint("give [REGISTRY/]NAME"))
        }
        _ => Ok(reference),
    }
}

pub(crate) async fn repos(args: Repos) -> Result<(), Failure> {
    let registry = connect::registry(&args.registry)?;
    let client = connect::client(&args.connection, registry)?;
    let list = client
        .repositories(registry, None, args.page.last.as_deref())
        .await?;
    let names = take(list, &args.page, Entry::of_repositories).await?;
    print(
        &args.connection,
        json!({ "registry": args.registry }),
        "repositories",
        &names,
    )
}

/// What kind of text an entry of a list is.
enum Entry {
    Broken,
    Name,
    /// Valid, but not what was asked for; it is left out.
    Other,
}

impl Entry {
    /// Classifies an entry of a list of tags; Artifactory lists digests among them.
    fn of_tags(text: &str) -> Self {
        match text.parse::<Tag>() {
            Ok(_) => Self::Name,
            Err(_) if text.parse::<Digest>().is_ok() => Self::Other,
            Err(_) => Self::Broken,
        }
    }

    fn of_repositories(text: &str) -> Self {
        match text.parse::<RepositoryName>() {
            Ok(_) => Self::Name,
            Err(_) => Self::Broken,
        }
    }
}

/// Reads a list up to the limit of the page. A name that breaks the grammar is an error, because a
/// script could misread it (OU2).
async fn take(
    mut list: List<String>,
    page: &Page,
    entry: fn(&str) -> Entry,
) -> Result<Vec<String>, Failure> {
    let limit = page.limit.map_or(usize::MAX, usize::from);
    let mut names = Vec::new();
    while names.len() < limit
        && let Some(name) = list.next().await
    {
        let name = name?;
        match entry(&name) {
            Entry::Name => names.push(name),
            Entry::Other => {}
            Entry::Broken => {
                let name = Escaped::text(&name);
                let what = format!("the registry lists a name that is none: {name}");
                return Err(Failure::new(Exit::Protocol, &what));
            }
        }
    }
    Ok(names)
}

fn print(
    connection: &Connection,
    mut head: serde_json::Value,
    key: &str,
    names: &[String],
) -> Result<(), Failure> {
    match connection.output {
        Output::Json => {
            if let Some(object) = head.as_object_mut() {
                object.insert(key.to_owned(), json!(names));
            }
            output::json(&head)
        }
        Output::Text if names.is_empty() => Ok(()),
        Output::Text => output::text(&names.join("\n")),
    }
}
