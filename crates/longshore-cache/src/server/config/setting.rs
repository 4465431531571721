//! Reads values of each type from nodes, and describes their keys.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use longshore_origin::Origin;

use super::error::ConfigFault;
use super::node::{Node, Place, Value};
use super::suggest::{nearest, secret_advice};
use super::units::{ByteSize, format_duration, parse_duration};

/// A type of settings.
pub(super) trait Setting: Sized {
    /// The form of a value, for the reference and for errors: `duration`.
    const FORM: &'static str;
    /// Whether the type is a list; its keys are then those of each entry.
    const IS_LIST: bool = false;

    /// The keys of a table. Empty: the value is not a table with fixed keys.
    fn keys() -> Vec<Key> {
        Vec::new()
    }

    /// Reads a value. `None`: the faults were reported.
    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self>;

    /// Writes a default value in TOML; an empty text if there is no default.
    fn shown(&self) -> String;
}

/// A key in a table of settings.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The documentation of the field.
    pub(super) about: &'static str,
    pub(super) form: &'static str,
    pub(super) default: String,
    pub(super) is_list: bool,
    pub(super) below: Vec<Self>,
}

/// Collects the faults of a configuration and the place of each setting.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<ConfigFault>,
    places: BTreeMap<String, Place>,
}

impl Reader {
    /// Reports a fault at this place.
    pub(super) fn fault(&mut self, place: &Place, key: &str, what: impl Into<String>) {
        self.faults.push(ConfigFault::new(place.clone(), key, what));
    }

    /// Reports a fault of a setting that was read before.
    pub(super) fn fault_of(&mut self, key: &str, what: impl Into<String>) {
        let place = self.place_of(key);
        self.faults.push(ConfigFault::new(place, key, what));
    }

    /// Returns the place of a setting, or of its table if the setting is absent. A table that an
    /// option or variable made for another of its keys does not count; an entry of a list does.
    fn place_of(&self, key: &str) -> Place {
        let setting = key;
        let mut key = key;
        loop {
            let is_whole = key == setting || key.ends_with(']');
            match self.places.get(key) {
                Some(place) if is_whole || !place.is_plain_text() => return place.clone(),
                _ => {}
            }
            match key.rsplit_once(['.', '[']) {
                Some((above, _)) => key = above,
                None => return Place::Default,
            }
        }
    }

    /// Reports that a value does not have the expected form.
    pub(super) fn wrong(&mut self, node: &Node, key: &str, form: &str) {
        let what = format!("expected {form}, but this is {}", node.kind());
        self.fault(&node.place, key, what);
    }
}

/// The unread entries of a table.
pub(super) struct Table {
    key: String,
    entries: BTreeMap<String, Node>,
}

impl Table {
    /// Opens a table. `None`: it is not a table, and this was reported.
    pub(super) fn open(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let Value::Table(entries) = node.value else {
            reader.wrong(&node, key, "a table");
            return None;
        };
        let key = key.to_owned();
        Some(Self { key, entries })
    }

    /// Reads the setting of this name. `None`: it is absent or wrong.
    pub(super) fn take<T: Setting>(&mut self, name: &str, reader: &mut Reader) -> Option<T> {
        let node = self.entries.remove(name)?;
        let key = join(&self.key, name);
        reader.places.insert(key.clone(), node.place.clone());
        T::read(node, &key, reader)
    }

    /// Reports the remaining entries as unknown keys.
    pub(super) fn close(self, known: &[&str], reader: &mut Reader) {
        for (name, node) in self.entries {
            let key = join(&self.key, &name);
            let what = match (secret_advice(&name), nearest(&name, known)) {
                (Some(advice), _) => advice.to_owned(),
                (None, Some(near)) => format!("unknown key; did you mean `{near}`?"),
                (None, None) => format!("unknown key; the keys here are {}", known.join(", ")),
            };
            reader.fault(&node.place, &key, what);
        }
    }
}

fn join(above: &str, name: &str) -> String {
    match above {
        "" => name.to_owned(),
        _ => format!("{above}.{name}"),
    }
}

/// Returns the key of an entry of a list, counted from 1.
pub(super) fn entry_key(list: &str, index: usize) -> String {
    format!("{list}[{}]", index + 1)
}

impl<T: Setting> Setting for Option<T> {
    const FORM: &'static str = T::FORM;
    const IS_LIST: bool = T::IS_LIST;

    fn keys() -> Vec<Key> {
        T::keys()
    }

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        T::read(node, key, reader).map(Some)
    }

    fn shown(&self) -> String {
        self.as_ref().map(T::shown).unwrap_or_default()
    }
}

/// A type that can be the entry of a list.
pub(super) trait Entry: Setting {
    /// The form of a list, for the reference and for errors.
    const LIST: &'static str;
}

impl<T: Entry> Setting for Vec<T> {
    const FORM: &'static str = T::LIST;
    const IS_LIST: bool = true;

    fn keys() -> Vec<Key> {
        T::keys()
    }

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let entries = match node.value {
            Value::List(entries) => entries,
            Value::Text(text) if node.place.is_plain_text() => plain_list(&node.place, &text),
            _ => {
                reader.wrong(&node, key, T::LIST);
                return None;
            }
        };
        let before = reader.faults.len();
        let mut values = Self::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let key = entry_key(key, index);
            reader.places.insert(key.clone(), entry.place.clone());
            values.extend(T::read(entry, &key, reader));
        }
        (reader.faults.len() == before).then_some(values)
    }

    fn shown(&self) -> String {
        let entries: Vec<_> = self.iter().map(T::shown).collect();
        format!("[{}]", entries.join(", "))
    }
}

/// Reads a list in an environment variable or option: TOML, or words separated by commas.
fn plain_list(place: &Place, text: &str) -> Vec<Node> {
    if text.trim_start().starts_with('[')
        && let Some(Node {
            value: Value::List(entries),
            ..
        }) = Node::of_value(place, text)
    {
        return entries;
    }
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.map(|word| Node::text(place.clone(), word)).collect()
}

/// Reads text and parses it. The error of the parser is the fault.
pub(super) fn parsed<T>(
    node: Node,
    key: &str,
    form: &str,
    reader: &mut Reader,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Value::Text(text) = &node.value else {
        reader.wrong(&node, key, form);
        return None;
    };
    match parse(text) {
        Ok(value) => Some(value),
        Err(what) => {
            reader.fault(&node.place, key, what);
            None
        }
    }
}

/// Parses text with [`FromStr`], for [`parsed`].
pub(super) fn from_text<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Quotes text as TOML does.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Implements [`Setting`] for a type that is written as text, and [`Entry`] if it has a name for
/// lists.
macro_rules! text_setting {
    ($type:ty, $form:literal, $parse:expr, $show:expr $(, $list:literal)?) => {
        impl $crate::server::config::setting::Setting for $type {
            const FORM: &'static str = $form;

            fn read(
                node: $crate::server::config::node::Node,
                key: &str,
                reader: &mut $crate::server::config::setting::Reader,
            ) -> Option<Self> {
                $crate::server::config::setting::parsed(node, key, Self::FORM, reader, $parse)
            }

            fn shown(&self) -> String {
                let show: fn(&Self) -> String = $show;
                match show(self) {
                    text if text.is_empty() => text,
                    text => $crate::server::config::setting::quoted(&text),
                }
            }
        }

        $(impl $crate::server::config::setting::Entry for $type {
            const LIST: &'static str = $list;
        })?
    };
}

/// Implements [`Setting`] for an enum without fields. Its values are words.
macro_rules! word_setting {
    ($type:ty, $form:literal, $($word:literal => $value:path),+) => {
        $crate::server::config::setting::text_setting!(
            $type,
            $form,
            |text| match text {
                $($word => Ok($value),)+
                _ => Err(concat!("expected ", $form).to_owned()),
            },
            |value| match value {
                $($value => $word.to_owned(),)+
            }
        );
    };
}

/// Declares a table of settings: a struct with a field for each key. The documentation of the
/// fields is the text of the reference.
///
/// The default follows `=`. An optional text after the default describes a default that is not a
/// plain value.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $name:ident as $form:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr $(, $shown:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        $visibility struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::server::config::setting::Setting for $name {
            const FORM: &'static str = $form;

            fn keys() -> Vec<$crate::server::config::setting::Key> {
                use $crate::server::config::setting::{Key, Setting};
                let defaults = Self::default();
                vec![$({
                    let shown = Setting::shown(&defaults.$key);
                    $(let shown = if shown.is_empty() { $shown.to_owned() } else { shown };)?
                    Key {
                        name: stringify!($key),
                        about: concat!($($doc, "\n"),+),
                        form: <$type as Setting>::FORM,
                        default: shown,
                        is_list: <$type as Setting>::IS_LIST,
                        below: <$type as Setting>::keys(),
                    }
                }),+]
            }

            fn read(
                node: $crate::server::config::node::Node,
                key: &str,
                reader: &mut $crate::server::config::setting::Reader,
            ) -> Option<Self> {
                let before = reader.faults.len();
                let mut table = $crate::server::config::setting::Table::open(node, key, reader)?;
                let section = Self {
                    $($key: table
                        .take(stringify!($key), reader)
                        .unwrap_or_else(|| $default),)+
                };
                table.close(&[$(stringify!($key)),+], reader);
                (reader.faults.len() == before).then_some(section)
            }

            fn shown(&self) -> String {
                String::new()
            }
        }
    };
}

pub(super) use {section, text_setting, word_setting};

text_setting!(
    String,
    "text",
    |text| Ok(text.to_owned()),
    |text| text.clone(),
    "a list of texts"
);

text_setting!(
    PathBuf,
    "a path",
    |text| match text {
        "" => Err("the path is empty".to_owned()),
        _ => Ok(Self::from(text)),
    },
    |path| path.display().to_string()
);

text_setting!(
    Duration,
    "a duration, such as `5m`",
    |text| parse_duration(text).map_err(|error| error.to_string()),
    |duration| format_duration(*duration)
);

text_setting!(
    SocketAddr,
    "an address with a port, such as `127.0.0.1:5000`",
    parse_address,
    |address| address.to_string(),
    "a list of addresses with ports, such as `[\"127.0.0.1:5000\"]`"
);

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:");
    let text = local.map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        "expected an IP address with a port, such as `127.0.0.1:5000` or `[::1]:5000`; \
         `0.0.0.0:5000` is every address of this machine"
            .to_owned()
    })
}

text_setting!(
    Origin,
    "an origin, such as `https://registry.example`",
    |text| text.parse().map_err(|error| match error {
        longshore_origin::OriginError::UserInformation => USER_INFORMATION.to_owned(),
        error => format!("expected http:// or https://, a host, and optionally a port: {error}"),
    }),
    |origin| origin.to_string(),
    "a list of origins"
);

/// CR12: a URL with `user:password@` is refused, and not repeated.
pub(super) const USER_INFORMATION: &str = "a URL must not hold a user name or password; remove \
                                           them, and name their source in `credentials`";

impl Setting for bool {
    const FORM: &'static str = "true or false";

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Boolean(value) => return Some(*value),
            Value::Text(text) if node.place.is_plain_text() => {
                if let Ok(value) = text.parse() {
                    return Some(value);
                }
            }
            _ => {}
        }
        reader.wrong(&node, key, Self::FORM);
        None
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const FORM: &'static str = "a number from 1";

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let number = match &node.value {
            Value::Integer(number) => Self::try_from(*number).ok(),
            Value::Text(text) if node.place.is_plain_text() => text.trim().parse().ok(),
            _ => {
                reader.wrong(&node, key, Self::FORM);
                return None;
            }
        };
        if number.is_none_or(|number| number == 0) {
            let what = format!("expected a number from 1 to {}", Self::MAX);
            reader.fault(&node.place, key, what);
            return None;
        }
        number
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Setting for ByteSize {
    const FORM: &'static str = "a size: bytes, or a text such as `200 GiB`";

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        if let Value::Integer(bytes) = node.value {
            return Some(Self::new(bytes));
        }
        parsed(node, key, Self::FORM, reader, from_text)
    }

    fn shown(&self) -> String {
        quoted(&self.to_string())
    }
}
