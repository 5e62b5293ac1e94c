//! What concerns two entries of a description: names, ids, hosts, addresses and ports that are used twice, and what
//! the nodes of one region must have in common.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::read::{At, Draft};
use super::text::Source;
use super::{Mount, Node, Region};
use crate::error::Result;
use crate::uri::Scheme;

pub(super) fn cluster(source: &Source<'_>, draft: &Draft) -> Result<()> {
    let mut names = Once::new(source, "region");
    for region in &draft.regions {
        names.add(region.what.name.clone(), &region.span, || format!("name {:?}", region.what.name))?;
    }
    for (region, spans) in draft.regions.iter().zip(&draft.mounts) {
        one_region(source, draft, region, spans)?;
    }
    addresses(source, draft)?;
    ports(source, draft)
}

/// Sees to it that something is there once.
struct Once<'a, K> {
    source: &'a Source<'a>,
    of: &'static str,
    seen: HashSet<K>,
}

impl<'a, K: std::hash::Hash + Eq> Once<'a, K> {
    fn new(source: &'a Source<'a>, of: &'static str) -> Self {
        Self { source, of, seen: HashSet::new() }
    }

    fn add(&mut self, key: K, span: &Range<usize>, what: impl FnOnce() -> String) -> Result<()> {
        if self.seen.insert(key) {
            return Ok(());
        }
        Err(self.source.bad(span, format_args!("another {} has the {} already", self.of, what())))
    }
}

/// Names, ids and hosts, before anything refers to them.
pub(super) fn nodes(source: &Source<'_>, nodes: &[At<Node>]) -> Result<()> {
    let (mut names, mut ids, mut hosts) =
        (Once::new(source, "node"), Once::new(source, "node"), Once::new(source, "node"));
    for At { what: node, span } in nodes {
        names.add(node.name.clone(), span, || format!("name {:?}", node.name))?;
        ids.add(node.id, span, || format!("id {}", node.id))?;
        for host in &node.hosts {
            hosts.add(host.to_ascii_lowercase(), span, || format!("host {host:?}"))?;
        }
    }
    Ok(())
}

/// The name of a node in messages.
fn name(draft: &Draft, id: u64) -> &str {
    draft.nodes.iter().find(|node| node.what.id == id).map_or("?", |node| &node.what.name)
}

fn one_region(source: &Source<'_>, draft: &Draft, region: &At<Region>, spans: &[Range<usize>]) -> Result<()> {
    let At { what: region, span } = region;
    let owner = name(draft, region.owner);
    if region.mount(region.owner).is_none() {
        return Err(source.bad(
            span,
            format_args!("region {:?}: its owner has no device; add [region.on.{owner}]", region.name),
        ));
    }
    let kind = |scheme: Scheme| region.mounts.iter().any(|mount| mount.uri.scheme() == scheme);
    let alone =
        [Scheme::Shm, Scheme::Incoherent, Scheme::ThymesisFlow].into_iter().find(|scheme| kind(*scheme));
    let Some(alone) = alone else { return Ok(()) };
    if let Some((mount, at)) = region.mounts.iter().zip(spans).find(|(mount, _)| mount.uri.scheme() != alone)
    {
        return Err(source.bad(
            at,
            format_args!(
                "region {:?} on {:?}: device {:?}, but other nodes have it by {}:, which no other device reaches",
                region.name,
                name(draft, mount.node),
                mount.uri.label(),
                alone.as_str()
            ),
        ));
    }
    if alone == Scheme::ThymesisFlow {
        return lender(source, draft, region, span, spans);
    }
    // One host's memory is found by its name.
    let first = region.mounts.first().map(|mount| mount.uri.label());
    match region.mounts.iter().zip(spans).find(|(mount, _)| Some(mount.uri.label()) != first) {
        None => Ok(()),
        Some((mount, at)) => Err(source.bad(
            at,
            format_args!(
                "region {:?} on {:?}: {:?} is not {:?}, which another node opens; one region has one name",
                region.name,
                name(draft, mount.node),
                mount.uri.label(),
                first.unwrap_or_default()
            ),
        )),
    }
}

/// Exactly one node lends, and it is the owner: its hardware keeps the memory coherent with its caches.
fn lender(
    source: &Source<'_>,
    draft: &Draft,
    region: &Region,
    span: &Range<usize>,
    spans: &[Range<usize>],
) -> Result<()> {
    let lenders: Vec<_> = region.mounts.iter().zip(spans).filter(|(mount, _)| mount.lends()).collect();
    let owner = name(draft, region.owner);
    let text = |what: &str| {
        format!(
            "region {:?}: {what}; exactly one node has role = \"memory\", its owner {owner:?}",
            region.name
        )
    };
    match lenders.as_slice() {
        [(mount, _)] if mount.node == region.owner => Ok(()),
        [(mount, at)] => Err(source.bad(at, text(&format!("{:?} lends it", name(draft, mount.node))))),
        [] => Err(source.bad(span, text("nobody lends it"))),
        [_, (mount, at), ..] => {
            Err(source.bad(at, text(&format!("{:?} is the second node to lend it", name(draft, mount.node)))))
        }
    }
}

/// Every mount, with its region and where it stands.
fn mounts(draft: &Draft) -> impl Iterator<Item = (&Region, &Mount, &Range<usize>)> {
    let regions = draft.regions.iter().zip(&draft.mounts);
    regions.flat_map(|(region, spans)| {
        region.what.mounts.iter().zip(spans).map(|(mount, span)| (&region.what, mount, span))
    })
}

/// A slot is 1 TiB and bases are multiples of it, so two regions overlap when their addresses are the same.
fn addresses(source: &Source<'_>, draft: &Draft) -> Result<()> {
    let mut taken: HashMap<(u64, u64), &Region> = HashMap::new();
    for (region, mount, span) in mounts(draft) {
        if let Some(other) = taken.insert((mount.node, region.address()), region) {
            return Err(source.bad(
                span,
                format_args!(
                    "region {:?} on {:?}: its address {:#x} is that of region {:?} (base {:#x}, slot {}); choose another slot",
                    region.name,
                    name(draft, mount.node),
                    region.address(),
                    other.name,
                    other.base,
                    other.slot
                ),
            ));
        }
    }
    Ok(())
}

/// A port of an AFU carries one region: the lender has no routing, and answers for one process.
fn ports(source: &Source<'_>, draft: &Draft) -> Result<()> {
    let mut taken: HashMap<(u64, &str, &str), &Region> = HashMap::new();
    let mut lent: HashMap<(u64, &str), &Region> = HashMap::new();
    for (region, mount, span) in
        mounts(draft).filter(|(_, mount, _)| mount.uri.scheme() == Scheme::ThymesisFlow)
    {
        let afu = (mount.node, mount.uri.name());
        let port = mount.uri.get("port").unwrap_or("0");
        let twice = |other: &Region, what: &str| {
            source.bad(
                span,
                format_args!(
                    "region {:?} on {:?}: {what} of AFU {:?} is used by region {:?} already; use another port or AFU (as IBM,RMEM.0006:00:00.1.0)",
                    region.name,
                    name(draft, mount.node),
                    mount.uri.name(),
                    other.name
                ),
            )
        };
        for one in if port == "both" { &["0", "1"][..] } else { std::slice::from_ref(&port) } {
            if let Some(other) = taken.insert((afu.0, afu.1, one), region) {
                return Err(twice(other, &format!("port {one}")));
            }
        }
        if mount.lends()
            && let Some(other) = lent.insert(afu, region)
        {
            return Err(twice(other, "the memory side"));
        }
    }
    Ok(())
}
