//! Settings of all sources in one tree, each with its place in the source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use longshore_origin::Escaped;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigFault;

/// The place of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In the configuration file.
    File {
        /// The name of the file.
        name: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
    /// In an environment variable of this name.
    Environment(Arc<str>),
    /// In this option of the command line.
    Flag(&'static str),
    /// No source: the default.
    Default,
}

impl Place {
    /// The line in the file. `None`: it is not in the file.
    pub(super) const fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// Whether values from this place are plain text, which may represent a number or a list.
    pub(super) fn is_plain_text(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{}:{line}", Escaped::text(name)),
            Self::Environment(name) => Escaped::text(name).fmt(f),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting, or a table or list of settings.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(u64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// A value that is invalid for every setting: a date, or a number that is negative or a
    /// fraction.
    Other(&'static str),
}

/// A step from a table or list to one of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(&'static str),
    /// From 0.
    Entry(usize),
}

impl Node {
    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        let value = Value::Text(text.into());
        Self { place, value }
    }

    pub(super) fn table(place: Place) -> Self {
        let value = Value::Table(BTreeMap::new());
        Self { place, value }
    }

    /// Reads a file.
    pub(super) fn of_file(name: &str, text: &str) -> Result<Self, ConfigFault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = FileText {
            name: name.into(),
            text,
        };
        match DeTable::parse(text) {
            Ok(table) => Ok(file.table(table.get_ref(), file.place(table.span().start))),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                // The message of the error does not quote the line, which may hold a secret.
                let what = format!("this is not TOML: {}", Escaped::text(error.message()));
                Err(ConfigFault::new(file.place(at), "", what))
            }
        }
    }

    /// Reads the TOML value of an environment variable. `None`: it is not TOML.
    pub(super) fn of_value(place: &Place, text: &str) -> Option<Self> {
        let value = DeValue::parse(text).ok()?;
        let file = FileText {
            name: "".into(),
            text,
        };
        let mut node = file.node(&value);
        node.move_to(place);
        Some(node)
    }

    fn move_to(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::List(entries) => entries.iter_mut().for_each(|it| it.move_to(place)),
            Value::Table(entries) => entries.values_mut().for_each(|it| it.move_to(place)),
            _ => {}
        }
    }

    /// Sets a node below this one, and replaces an existing node. Missing tables and lists in the
    /// path are made. If another value is in the path, it stays, and the reader reports it. Returns
    /// `false` if a new entry would leave a gap in a list.
    pub(super) fn put(&mut self, path: &[Step], node: Self) -> bool {
        let Some((step, rest)) = path.split_first() else {
            *self = node;
            return true;
        };
        let empty = || Self {
            place: node.place.clone(),
            value: match rest.first() {
                Some(Step::Entry(_)) => Value::List(Vec::new()),
                _ => Value::Table(BTreeMap::new()),
            },
        };
        let below = match (step, &mut self.value) {
            (Step::Key(key), Value::Table(entries)) => {
                Some(entries.entry((*key).to_owned()).or_insert_with(empty))
            }
            (Step::Entry(index), Value::List(entries)) => {
                if entries.len() == *index {
                    entries.push(empty());
                }
                entries.get_mut(*index)
            }
            _ => return true,
        };
        below.is_some_and(|below| below.put(rest, node))
    }

    /// Names the kind of the value, for errors. The value itself may be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }
}

/// The text of a file, used to find the lines of values.
struct FileText<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl FileText<'_> {
    fn place(&self, at: usize) -> Place {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let name = Arc::clone(&self.name);
        Place::File { name, line }
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Node {
        let entries = table.iter().map(|(key, value)| {
            let mut node = self.node(value);
            // A value may begin on a later line than its key.
            node.place = self.place(key.span().start);
            (key.get_ref().to_string(), node)
        });
        let value = Value::Table(entries.collect());
        Node { place, value }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::Table(table) => return self.table(table, place),
            DeValue::Array(entries) => {
                Value::List(entries.iter().map(|entry| self.node(entry)).collect())
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Integer(number) => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Other("a negative number, or one that is too large"),
                }
            }
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Node { place, value }
    }
}
