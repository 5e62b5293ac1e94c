//! Reading a schema blob: every node, and what each must be like.

use super::super::bytes::{Reader, index, narrow};
use super::super::format::{Children, Layout};
use super::{MAX_DEPTH, MAX_NODES, NO_METADATA, SchemaNode, Text, corrupt};
use crate::error::{ErrorKind, Result};

/// The nodes of the blob `text`, which is at `base` of the bytes that positions are into.
pub(super) fn nodes(text: &[u8], base: usize) -> Result<Box<[SchemaNode]>> {
    let mut reader = Reader::new(text, "schema");
    let n_nodes = index(u64::from(reader.u32()?));
    let zero = reader.u32()?;
    if n_nodes == 0 || n_nodes > MAX_NODES || zero != 0 {
        return Err(corrupt(format!("{n_nodes} nodes; 1 to {MAX_NODES} are possible")));
    }
    // Each node takes 32 bytes at least, so a count that lies allocates nothing.
    let nodes = Vec::with_capacity(n_nodes.min(text.len() / 32));
    let mut parser = Parser { text, reader, base, nodes, n_nodes };
    parser.node(0)?;
    if parser.nodes.len() != n_nodes || parser.reader.remaining() != 0 {
        return Err(corrupt(format!("bytes are left after node {} of {n_nodes}", parser.nodes.len())));
    }
    Ok(parser.nodes.into_boxed_slice())
}

/// Reads a blob node by node.
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
