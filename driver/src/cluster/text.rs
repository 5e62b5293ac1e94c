//! TOML with positions: what is read knows where it stands, and every complaint says so.
//!
//! The parser's own tree is used, without serde: the messages name the value and what is allowed in this
//! project's words, and the library needs no derive macros.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, ErrorKind, Result};
use crate::units::parse_size;

/// A file's text.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|e| self.bad(&e.span().unwrap_or(0..0), e.message()))
    }

    /// The error for what stands at `span`.
    pub(super) fn bad(&self, span: &Range<usize>, why: impl std::fmt::Display) -> Error {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::new(ErrorKind::BadFile, format!("{}:{line}:{column}: {why}", self.path.display()))
    }
}

/// A table, and what it is called in messages.
pub(super) struct Table<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) what: String,
    pub(super) span: Range<usize>,
    table: &'a DeTable<'a>,
}

/// A value of a table.
pub(super) struct Value<'a> {
    source: &'a Source<'a>,
    what: String,
    pub(super) key: &'a str,
    pub(super) span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn root(source: &'a Source<'a>, root: &'a Spanned<DeTable<'a>>) -> Self {
        Self { source, what: "the cluster file".into(), span: 0..0, table: root.get_ref() }
    }

    /// The same table under another name.
    pub(super) fn named(self, what: String) -> Self {
        Self { what, ..self }
    }

    pub(super) fn bad(&self, why: impl std::fmt::Display) -> Error {
        self.source.bad(&self.span, format_args!("{}: {why}", self.what))
    }

    /// Everything in it, in the order of the file.
    pub(super) fn values(&self) -> Vec<(Range<usize>, Value<'a>)> {
        let mut all: Vec<_> =
            self.table.iter().map(|(key, value)| (key.span(), self.value(key.get_ref(), value))).collect();
        all.sort_by_key(|(at, _)| at.start);
        all
    }

    /// Refuses every key that is not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        match self.values().iter().find(|(_, value)| !known.contains(&value.key)) {
            None => Ok(()),
            Some((at, value)) => {
                let text = format!("{}: unknown key {:?}; known: {}", self.what, value.key, known.join(", "));
                Err(self.source.bad(at, text))
            }
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.table.get_key_value(key).map(|(key, value)| self.value(key.get_ref(), value))
    }

    /// A value that must be there; `example` shows how it is written.
    pub(super) fn require(&self, key: &str, example: &str) -> Result<Value<'a>> {
        self.get(key).ok_or_else(|| self.bad(format_args!("{key} is missing; add {key} = {example}")))
    }

    /// The tables of an array of tables, `[[key]]`.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<Table<'a>>> {
        let Some(value) = self.get(key) else {
            return Err(self.bad(format_args!("there is no [[{key}]]; write at least one")));
        };
        let wrong = || value.bad(format_args!("is {}; write [[{key}]]", value.value.type_str()));
        let array = value.value.as_array().ok_or_else(wrong)?;
        array
            .iter()
            .map(|item| {
                let table = item.get_ref().as_table().ok_or_else(wrong)?;
                Ok(Table { source: self.source, what: key.to_owned(), span: item.span(), table })
            })
            .collect()
    }

    fn value(&self, key: &'a str, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let what = format!("{}: {key}", self.what);
        Value { source: self.source, what, key, span: value.span(), value: value.get_ref() }
    }
}

impl<'a> Value<'a> {
    pub(super) fn bad(&self, why: impl std::fmt::Display) -> Error {
        let why = why.to_string();
        let blank = if why.starts_with(':') { "" } else { " " };
        self.source.bad(&self.span, format_args!("{}{blank}{why}", self.what))
    }

    fn wrong(&self, wanted: &str) -> Error {
        self.bad(format_args!("is of type {}; write {wanted}", self.value.type_str()))
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    /// A name: what file names, URIs and host names can all carry.
    pub(super) fn name(&self) -> Result<String> {
        let text = self.text()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 64 || text.starts_with(['.', '-']) || !text.chars().all(plain) {
            return Err(self.bad(format_args!(
                "= {text:?}: a name has 1 to 64 letters, digits, dots, underscores and dashes, and begins with none of the last"
            )));
        }
        Ok(text.to_owned())
    }

    pub(super) fn names(&self) -> Result<Vec<String>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong("an array of strings"))?;
        array
            .iter()
            .map(|item| {
                Value {
                    source: self.source,
                    what: self.what.clone(),
                    key: self.key,
                    span: item.span(),
                    value: item.get_ref(),
                }
                .name()
            })
            .collect()
    }

    pub(super) fn whole(&self) -> Result<u64> {
        let integer = self.value.as_integer().ok_or_else(|| self.wrong("a whole number"))?;
        u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
            self.bad(format_args!("= {}: write a whole number from 0 to 2^63 - 1", integer.as_str()))
        })
    }

    /// A size: a number of bytes, or a string such as "4G".
    pub(super) fn size(&self) -> Result<u64> {
        match self.value.as_str() {
            Some(text) => parse_size(text).map_err(|e| self.bad(format_args!("= {text:?}: {e}"))),
            None if self.value.is_integer() => self.whole(),
            None => Err(self.wrong("a string such as \"4G\", or a number of bytes")),
        }
    }

    /// The value of a URI's option, as the URI spells it.
    pub(super) fn option(&self) -> Result<String> {
        match self.value {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            DeValue::Integer(_) => Ok(self.whole()?.to_string()),
            DeValue::Boolean(yes) => Ok(if *yes { "yes" } else { "no" }.to_owned()),
            _ => Err(self.wrong("a string, a whole number, true or false")),
        }
    }

    pub(super) fn table(&self) -> Result<Table<'a>> {
        let table = self.value.as_table().ok_or_else(|| self.wrong("a table"))?;
        Ok(Table { source: self.source, what: self.what.clone(), span: self.span.clone(), table })
    }
}
