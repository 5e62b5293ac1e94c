//! A schema as one run of bytes: what a descriptor carries and what exports point into.
//!
//! The blob is the tree of `ArrowSchema`s in preorder, a dictionary after the
//! children. Strings keep their terminating zero and metadata keeps its C
//! encoding, so exporting a schema copies nothing. A blob is input even when it
//! was just made from a producer's structs: there is one check, in [`parse`](Schema::parse).

use std::ops::Range;
use std::sync::Arc;

use super::bytes::narrow;
use super::format::{self, Layout};
use crate::error::{Error, ErrorKind, Result};

mod parse;

/// The deepest nesting of types, as in Arrow C++.
pub const MAX_DEPTH: usize = 64;
/// The most arrays, at every level together, that one batch may have.
pub const MAX_NODES: usize = 1 << 20;

/// `metadata_len` of a node that has none.
const NO_METADATA: u32 = u32::MAX;
/// Bytes before the first node: node count, zero.
pub(crate) const BLOB_HEADER_LEN: usize = 8;

/// A checked schema: a struct whose fields are the columns.
#[derive(Debug)]
pub struct Schema {
    bytes: Arc<[u8]>,
    blob: Range<usize>,
    nodes: Box<[SchemaNode]>,
    hash: u32,
}

/// One type of the tree. Positions are into the schema's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaNode {
    pub(crate) layout: Layout,
    pub(crate) has_dictionary: bool,
    pub(crate) n_children: u32,
    /// The node after this one and everything below it.
    pub(crate) end: u32,
    pub(crate) flags: u32,
    format: Text,
    name: Text,
    metadata: Option<Text>,
}

/// A run of bytes that a zero byte follows.
#[derive(Clone, Copy, Debug)]
struct Text {
    at: usize,
    len: usize,
}

/// One node on its way into a blob.
pub(crate) struct FlatNode<'a> {
    pub(crate) format: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) metadata: Option<&'a [u8]>,
    pub(crate) flags: u32,
    pub(crate) n_children: u32,
    pub(crate) has_dictionary: bool,
}

impl FlatNode<'_> {
    /// Appends the node to a blob whose length is a multiple of 8.
    pub(crate) fn append_to(&self, blob: &mut Vec<u8>) -> Result<()> {
        let metadata = self.metadata.unwrap_or_default();
        for word in [
            narrow(self.format.len(), "length of a format string")?,
            narrow(self.name.len(), "length of a field name")?,
            self.metadata.map_or(Ok(NO_METADATA), |m| narrow(m.len(), "length of field metadata"))?,
            self.flags,
            self.n_children,
            u32::from(self.has_dictionary),
        ] {
            blob.extend_from_slice(&word.to_le_bytes());
        }
        // Metadata first: it holds 32-bit words and is aligned here.
        blob.extend_from_slice(metadata);
        blob.push(0);
        blob.extend_from_slice(self.format);
        blob.push(0);
        blob.extend_from_slice(self.name);
        blob.push(0);
        blob.resize(blob.len().next_multiple_of(8), 0);
        Ok(())
    }
}

impl Schema {
    /// Checks the schema blob that is `bytes[blob]`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for anything that is not the blob of a record batch's schema.
    pub fn parse(bytes: Arc<[u8]>, blob: Range<usize>) -> Result<Self> {
        let Some(text) = bytes.get(blob.clone()) else {
            return Err(corrupt(format!("bytes {blob:?} of {}", bytes.len())));
        };
        let nodes = parse::nodes(text, blob.start)?;
        if nodes[0].layout != Layout::Struct || nodes[0].has_dictionary {
            let schema = Self { hash: 0, nodes, blob, bytes };
            return Err(corrupt(format!(
                "the top level is of format \"{}\"; a table is a struct (\"+s\") of columns, so wrap the array \
                 in a record batch",
                schema.format(0).escape_debug()
            )));
        }
        let hash = crc32fast::hash(text);
        Ok(Self { hash, nodes, blob, bytes })
    }

    /// The schema of a table without columns.
    ///
    /// # Errors
    /// None: that schema checks.
    pub(crate) fn without_columns() -> Result<Self> {
        let mut blob = vec![0; BLOB_HEADER_LEN];
        blob[..4].copy_from_slice(&1u32.to_le_bytes());
        let root = FlatNode {
            format: b"+s",
            name: b"",
            metadata: None,
            flags: 0,
            n_children: 0,
            has_dictionary: false,
        };
        root.append_to(&mut blob)?;
        let len = blob.len();
        Self::parse(blob.into(), 0..len)
    }

    /// The nodes that column `column` is made of; `None` if there are fewer columns.
    #[must_use]
    pub fn column_nodes(&self, column: usize) -> Option<Range<usize>> {
        self.column(column).map(|node| node..self.nodes[node].end as usize)
    }

    /// The schema of these columns alone, in this order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a column that is not there.
    pub fn project(&self, columns: &[usize]) -> Result<Self> {
        let flat = |i: usize, n_children: u32| {
            let node = &self.nodes[i];
            FlatNode {
                format: self.format(i).as_bytes(),
                name: self.name(i).as_bytes(),
                metadata: self.metadata(i),
                flags: node.flags,
                n_children,
                has_dictionary: node.has_dictionary,
            }
        };
        let mut blob = vec![0; BLOB_HEADER_LEN];
        flat(0, narrow(columns.len(), "number of columns")?).append_to(&mut blob)?;
        let mut n_nodes = 1u32;
        for &column in columns {
            let nodes = self.column_nodes(column).ok_or_else(|| {
                let text = format!("the table has {} columns, and no number {column}", self.n_columns());
                Error::new(ErrorKind::InvalidArgument, text)
            })?;
            for i in nodes {
                flat(i, self.nodes[i].n_children).append_to(&mut blob)?;
                n_nodes += 1;
            }
        }
        blob[..4].copy_from_slice(&n_nodes.to_le_bytes());
        let len = blob.len();
        Self::parse(blob.into(), 0..len)
    }

    /// The blob.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.bytes[self.blob.clone()]
    }

    /// CRC-32 of the blob: equal schemas have equal hashes.
    #[must_use]
    pub fn hash(&self) -> u32 {
        self.hash
    }

    /// Number of arrays a batch has, at every level together and the batch itself included.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.nodes[0].n_children as usize
    }

    /// The node that is column `column`'s own; `None` if there are fewer columns.
    #[must_use]
    pub fn column(&self, column: usize) -> Option<usize> {
        self.children(0).nth(column)
    }

    /// The format string of node `i`. Panics if there is none, like the other accessors.
    #[must_use]
    pub fn format(&self, i: usize) -> &str {
        self.text(self.nodes[i].format)
    }

    /// The field name of node `i`; empty where there is none.
    #[must_use]
    pub fn name(&self, i: usize) -> &str {
        self.text(self.nodes[i].name)
    }

    /// The metadata of node `i` in the encoding of the C Data Interface.
    #[must_use]
    pub fn metadata(&self, i: usize) -> Option<&[u8]> {
        self.nodes[i].metadata.map(|m| &self.bytes[m.at..m.at + m.len])
    }

    /// Every node, in preorder, a dictionary after the children.
    pub(crate) fn nodes(&self) -> &[SchemaNode] {
        &self.nodes
    }

    /// The children of node `i`.
    pub(crate) fn children(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        let mut next = i + 1;
        (0..self.nodes[i].n_children).map(move |_| {
            let child = next;
            next = self.nodes[child].end as usize;
            child
        })
    }

    /// The node of the dictionary of node `i`, if it has one.
    pub(crate) fn dictionary(&self, i: usize) -> Option<usize> {
        let after_children = self.children(i).last().map_or(i + 1, |c| self.nodes[c].end as usize);
        self.nodes[i].has_dictionary.then_some(after_children)
    }

    /// Where node `i` is, for people: `column "a.b"`.
    pub(crate) fn path(&self, i: usize) -> String {
        if i == 0 {
            return "the record batch".into();
        }
        let (mut at, mut path) = (0, String::new());
        while at != i {
            let is_above = |&c: &usize| c <= i && i < self.nodes[c].end as usize;
            let step = match self.children(at).find(is_above) {
                Some(child) => {
                    if at != 0 {
                        path.push('.');
                    }
                    path.push_str(self.name(child));
                    child
                }
                None => {
                    path.push_str("[dictionary]");
                    self.dictionary(at).unwrap_or(i)
                }
            };
            at = step;
        }
        format!("column \"{}\"", path.escape_debug())
    }

    /// An error of `kind` about node `i`.
    #[cold]
    pub(crate) fn fault(&self, kind: ErrorKind, i: usize, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{} (format \"{}\"): {what}", self.path(i), self.format(i).escape_debug()))
    }

    /// The bytes that exported strings point into.
    pub(crate) fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Where format, name and metadata of node `i` begin in [`bytes`](Self::bytes).
    pub(crate) fn text_positions(&self, i: usize) -> (usize, usize, Option<usize>) {
        let node = &self.nodes[i];
        (node.format.at, node.name.at, node.metadata.map(|m| m.at))
    }

    fn text(&self, text: Text) -> &str {
        // Checked by the parser; an empty string otherwise, rather than a panic.
        std::str::from_utf8(&self.bytes[text.at..text.at + text.len]).unwrap_or_default()
    }
}

#[cold]
fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("schema: {what}"))
}

/// The type ids of node `i`, a union, in the order of its children.
pub(crate) fn union_type_ids(schema: &Schema, i: usize) -> impl Iterator<Item = i8> + '_ {
    format::type_ids(schema.format(i)).flatten()
}
