//! A schema as one run of bytes: what a descriptor carries and what exports point into.
//!
//! The blob is the tree of `ArrowSchema`s in preorder, a dictionary after the
//! children. Strings keep their terminating zero and metadata keeps its C
//! encoding, so exporting a schema copies nothing. A blob is input even when it
//! was just made from a producer's structs: there is one check, in [`parse`](Schema::parse).

use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Reader, index, narrow};
use super::format::{self, Children, Layout};
use crate::error::{Error, ErrorKind, Result};

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
        let mut reader = Reader::new(text, "schema");
        let n_nodes = index(u64::from(reader.u32()?));
        let zero = reader.u32()?;
        if n_nodes == 0 || n_nodes > MAX_NODES || zero != 0 {
            return Err(corrupt(format!("{n_nodes} nodes; 1 to {MAX_NODES} are possible")));
        }
        // Each node takes 32 bytes at least, so a count that lies allocates nothing.
        let nodes = Vec::with_capacity(n_nodes.min(text.len() / 32));
        let mut parser = Parser { text, reader, base: blob.start, nodes, n_nodes };
        parser.node(0)?;
        if parser.nodes.len() != n_nodes || parser.reader.remaining() != 0 {
            return Err(corrupt(format!("bytes are left after node {} of {n_nodes}", parser.nodes.len())));
        }
        let nodes = parser.nodes.into_boxed_slice();
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

struct Parser<'a> {
    text: &'a [u8],
    reader: Reader<'a>,
    base: usize,
    nodes: Vec<SchemaNode>,
    n_nodes: usize,
}

impl Parser<'_> {
    /// Reads one node and everything below it.
    fn node(&mut self, depth: usize) -> Result<()> {
        let i = self.nodes.len();
        if depth > MAX_DEPTH {
            return Err(corrupt(format!("node {i} is nested deeper than {MAX_DEPTH} levels")));
        }
        if i >= self.n_nodes {
            return Err(corrupt(format!("there are more nodes than the {} announced", self.n_nodes)));
        }
        let (node, format) = self.own(i)?;
        self.nodes.push(node);
        for _ in 0..node.n_children {
            self.node(depth + 1)?;
        }
        if node.has_dictionary {
            self.node(depth + 1)?;
        }
        self.nodes[i].end = narrow(self.nodes.len(), "schema nodes")?;
        self.check(i, format)
    }

    /// Reads what a node says of itself.
    fn own(&mut self, i: usize) -> Result<(SchemaNode, Text)> {
        let r = &mut self.reader;
        let [format_len, name_len, metadata_len, flags, n_children, dictionary] =
            [r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?];
        if dictionary > 1 {
            return Err(corrupt(format!("node {i} has {dictionary} dictionaries")));
        }
        let has_metadata = metadata_len != NO_METADATA;
        let metadata = self.run(i, if has_metadata { metadata_len } else { 0 })?;
        let format = self.run(i, format_len)?;
        let name = self.run(i, name_len)?;
        self.reader.pad()?;

        let format_text = self.utf8(i, format)?;
        self.utf8(i, name)?;
        if has_metadata {
            check_metadata(&self.text[metadata.at..metadata.at + metadata.len])
                .map_err(|e| e.context(format!("schema: metadata of node {i}")))?;
        }
        let layout = Layout::parse(format_text)
            .map_err(|e| e.with_kind(ErrorKind::Corrupt).context(format!("schema: node {i}")))?;
        let absolute = |t: Text| Text { at: self.base + t.at, len: t.len };
        let node = SchemaNode {
            layout,
            has_dictionary: dictionary == 1,
            n_children,
            end: 0,
            flags,
            format: absolute(format),
            name: absolute(name),
            metadata: has_metadata.then(|| absolute(metadata)),
        };
        Ok((node, format))
    }

    /// A run of `len` bytes and the zero after it.
    fn run(&mut self, i: usize, len: u32) -> Result<Text> {
        let len = index(u64::from(len));
        let at = self.reader.skip(len)?;
        match self.reader.take(1)? {
            [0] => Ok(Text { at, len }),
            _ => Err(corrupt(format!("a string of node {i} does not end in a zero byte"))),
        }
    }

    fn utf8(&self, i: usize, text: Text) -> Result<&str> {
        let bytes = &self.text[text.at..text.at + text.len];
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(corrupt(format!(
                "a string of node {i} is not UTF-8 without zero bytes: \"{}\"",
                bytes.escape_ascii()
            ))),
        }
    }

    /// What node `i`, read with all that is below it, must be like.
    fn check(&self, i: usize, format: Text) -> Result<()> {
        let node = &self.nodes[i];
        let fail = |what: &str| {
            let format = self.text[format.at..format.at + format.len].escape_ascii();
            let name = &self.text[node.name.at - self.base..][..node.name.len];
            let name = String::from_utf8_lossy(name);
            Err(corrupt(format!("field \"{}\" of format \"{format}\": {what}", name.escape_debug())))
        };
        let child = |k: usize| {
            let mut at = i + 1;
            (0..k).for_each(|_| at = self.nodes[at].end as usize);
            &self.nodes[at]
        };
        if let Children::Exactly(n) = node.layout.children()
            && n != node.n_children
        {
            return fail(&format!("{} children instead of {n}", node.n_children));
        }
        if node.has_dictionary && !matches!(node.layout, Layout::Int { .. }) {
            return fail("a dictionary's indices are integers");
        }
        match node.layout {
            Layout::Map if child(0).layout != Layout::Struct || child(0).n_children != 2 => {
                fail("a map's child is a struct of key and value")
            }
            Layout::RunEnd
                if !matches!(child(0).layout, Layout::Int { width_bytes: 2 | 4 | 8, signed: true })
                    || child(0).has_dictionary =>
            {
                fail("run ends are of type int16, int32 or int64")
            }
            _ => Ok(()),
        }
    }
}

/// Checks metadata in its C encoding: a count of pairs, then length and bytes of each key and value.
pub(crate) fn check_metadata(bytes: &[u8]) -> Result<()> {
    let mut reader = Reader::new(bytes, "metadata");
    let n_pairs = reader.u32()?;
    for _ in 0..2 * u64::from(n_pairs) {
        let len = reader.u32()?;
        reader.take(index(u64::from(len)))?;
    }
    if n_pairs > i32::MAX as u32 || reader.remaining() != 0 {
        return Err(corrupt(format!("{n_pairs} pairs leave {} bytes", reader.remaining())));
    }
    Ok(())
}

/// The type ids of node `i`, a union, in the order of its children.
pub(crate) fn union_type_ids(schema: &Schema, i: usize) -> impl Iterator<Item = i8> + '_ {
    format::type_ids(schema.format(i)).flatten()
}
