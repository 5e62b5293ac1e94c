//! Members: the processes that have a region open, and the proof that they live.
//!
//! Each node has a table of slots in its own zone. A process takes a free slot by locking its byte in the
//! control file and then saying so in the region; its death drops the lock, and any process of the same
//! node may then clear up after it, holding the byte meanwhile. A slot is free again only when everything
//! its last holder had is returned, so a slot number names a member without an epoch wherever memory is
//! owned. Nobody needs a daemon.

pub(crate) mod beat;
mod control;
pub(crate) mod node;

use std::sync::Arc;
use std::time::Duration;

use control::Claim;
pub(crate) use control::ControlFile;
use node::Door;

use crate::coherence::{Bytes, Step};

use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::{LINE_BYTES, MEMBER_STAT_SHARDS};
use crate::region::lock::Holder;
use crate::region::space::Space;
use crate::region::word::Word;
use crate::sys::process;

/// Words of a member's identity line.
#[derive(Clone, Copy)]
#[repr(usize)]
enum At {
    /// Epoch and whether the slot is taken: `epoch << 8 | state`.
    State = 0,
    Pid = 1,
    Uid = 2,
    Since = 3,
    /// Four words of program name.
    Command = 4,
    /// The last sign of life, in nanoseconds since the epoch: where no kernel sees all nodes.
    Beat = 8,
}

const COMMAND_BYTES: usize = 32;
const WORDS_PER_LINE: u64 = LINE_BYTES / 8;

/// Words of a member's statistics lines; each thread counts in one of them.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Stat {
    /// Bytes of extents the process holds (a wrapping sum over all lines).
    LiveBytes = 0,
    /// Allocations made.
    Allocations = 1,
    /// Frees made.
    Frees = 2,
    /// Most live bytes at once (in the first line alone).
    PeakBytes = 3,
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its node.
    pub node: u64,
    /// Its slot on that node.
    pub slot: u16,
    /// Its process id, in its own PID namespace.
    pub pid: u64,
    /// Its effective user id.
    pub uid: u64,
    /// When it opened the region, in nanoseconds since the epoch.
    pub since_unix_ns: u64,
    /// Its program's name.
    pub command: String,
    /// Whether it lives; a dead one is about to be cleared up. Of a process on another host nobody can say that it
    /// does not.
    pub alive: bool,
    /// Its last sign of life, in nanoseconds since the epoch by its own clock; 0 where the kernel knows better.
    pub beat_unix_ns: u64,
    /// Bytes of extents it holds.
    pub live_bytes: u64,
    /// The most bytes it held at once.
    pub peak_bytes: u64,
}

/// This process's membership in a region.
pub(crate) struct Member {
    space: Arc<Space>,
    control: Arc<ControlFile>,
    node: u64,
    slot: u16,
    epoch: u32,
    incarnation: u64,
    took_over: bool,
}

/// The right to clear up after a dead member; nobody else does so meanwhile.
pub(crate) struct DeadMember<'a> {
    member: &'a Member,
    pub(crate) slot: u16,
}

/// The identity line of a member of this node.
fn line(space: &Space, slot: u64) -> &[Word] {
    space.words(space.layout().member_off(space.node(), slot), WORDS_PER_LINE)
}

fn line_range(space: &Space, node: u64, slot: u64) -> Bytes {
    space.range(space.layout().member_off(node, slot), LINE_BYTES)
}

fn stat_off(space: &Space, node: u64, slot: u64, shard: u64) -> u64 {
    space.layout().member_off(node, slot) + (2 + shard) * LINE_BYTES
}

/// A statistics line of a member of this node.
fn stat_line(space: &Space, slot: u64, shard: u64) -> &[Word] {
    space.words(stat_off(space, space.node(), slot, shard), WORDS_PER_LINE)
}

fn taken(state: u64) -> bool {
    state & 0xff != 0
}

#[expect(clippy::cast_possible_truncation, reason = "the epoch's 32 bits are cut out of the word")]
fn epoch_of(state: u64) -> u32 {
    (state >> 8) as u32
}

impl Member {
    /// Takes a slot of this node, whose boot is `boot`.
    ///
    /// # Errors
    /// [`ErrorKind::MembersFull`] when every slot is taken by the living; [`ErrorKind::Fenced`] when the node was
    /// fenced and its processes have not all gone since; [`ErrorKind::RegionLost`] when the owner's node has started anew.
    pub(crate) fn join(
        space: Arc<Space>,
        control: Arc<ControlFile>,
        boot: u64,
        patience: Duration,
    ) -> Result<Self> {
        let (node, members) = (space.node(), space.layout().shape.members);
        let door = Door::enter(&control, node, patience)?;
        let incarnation = node::begin(&space, &control, boot)?;
        // A free slot; failing that, the slot of a dead member, whose belongings come with it.
        for (take_over, slot) in
            [false, true].into_iter().flat_map(|t| (0..members).map(move |slot| (t, slot)))
        {
            let identity = line(&space, slot);
            let byte = node * members + slot;
            let is_taken = || taken(identity[At::State as usize].load());
            if is_taken() != take_over || !control.claim(byte, Claim::Member)? {
                continue;
            }
            if is_taken() != take_over {
                // Taken or given back between the look and the lock.
                control.release(byte)?;
                continue;
            }
            let state = identity[At::State as usize].load();
            let epoch = epoch_of(state).wrapping_add(1);
            introduce(identity);
            for shard in 0..MEMBER_STAT_SHARDS {
                stat_line(&space, slot, shard).iter().for_each(|word| word.store(0));
            }
            identity[At::Beat as usize].store(process::unix_ns());
            identity[At::State as usize].store(u64::from(epoch) << 8 | 1);
            space.coherence().release(Step::MemberHome, &[line_range(&space, node, slot)]);
            let slot = u16::try_from(slot).unwrap_or(u16::MAX);
            drop(door);
            return Ok(Self { space, control, node, slot, epoch, incarnation, took_over: take_over });
        }
        let text = format!(
            "all {members} process slots of node {node} are taken by living processes; close the region in some process, or create it with members= more"
        );
        Err(Error::new(ErrorKind::MembersFull, text))
    }

    /// Whether the slot was a dead member's: what that one had must be returned before anything is done.
    pub(crate) fn took_over(&self) -> bool {
        self.took_over
    }

    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether its node was fenced, as far as the void mark is new here.
    pub(crate) fn is_fenced(&self) -> bool {
        // Another incarnation began beside it: its leases were cleared then.
        node::noted(&self.space, self.node, node::NodeWord::Incarnation) != self.incarnation
            || node::is_void(&self.space, self.node, self.incarnation)
    }

    /// Gives a sign of life, for hosts whose kernels do not see this process.
    pub(crate) fn beat(&self) {
        line(&self.space, self.slot.into())[At::Beat as usize].store(process::unix_ns());
        self.bring_home(Step::BeatHome, self.slot);
    }

    /// One of this member's statistics lines.
    pub(crate) fn shard(&self, shard: u64) -> &[Word] {
        stat_line(&self.space, self.slot.into(), shard)
    }

    /// Gives the slot up. Everything the member had must have been returned.
    pub(crate) fn leave(&self) -> Result<()> {
        if self.space.life() != 0 {
            // Law 6: what this node's caches hold of its zone must not come home in another region's time.
            let layout = self.space.layout();
            let zone = self.space.range(layout.node_off(self.node), layout.node_stride);
            self.space.coherence().release(Step::MemberHome, &[zone]);
        }
        self.free_slot(self.slot)
    }

    /// The dead of this node, one at a time, for clearing up.
    pub(crate) fn dead(&self) -> impl Iterator<Item = DeadMember<'_>> {
        let members = self.space.layout().shape.members;
        (0..members).filter_map(move |slot| {
            let byte = byte(&self.space, self.node, slot);
            let state = || line(&self.space, slot)[At::State as usize].load();
            if !taken(state()) || !self.control.claim(byte, Claim::Reaper).unwrap_or(false) {
                return None;
            }
            let slot = u16::try_from(slot).unwrap_or(u16::MAX);
            let dead = DeadMember { member: self, slot };
            // Cleared up by somebody else between the look and the lock: dropping gives the byte back.
            taken(state()).then_some(dead)
        })
    }

    /// Whether the member in `slot` of `node` lives. Says yes where this host cannot tell.
    pub(crate) fn is_alive_on(&self, node: u64, slot: u64) -> bool {
        is_alive(&self.space, &self.control, node, slot)
    }

    /// Brings the identity line of a member of this node home.
    fn bring_home(&self, step: Step, slot: u16) {
        self.space.coherence().release(step, &[line_range(&self.space, self.node, slot.into())]);
    }

    fn free_slot(&self, slot: u16) -> Result<()> {
        let word = &line(&self.space, slot.into())[At::State as usize];
        word.store(u64::from(epoch_of(word.load())) << 8);
        self.bring_home(Step::MemberHome, slot);
        self.control.release(byte(&self.space, self.node, slot.into()))
    }
}

impl DeadMember<'_> {
    /// The dead member, as `process 4711 (csm)`.
    pub(crate) fn describe(&self) -> String {
        self.member.describe(self.slot)
    }

    /// Frees the slot: everything the dead had is returned.
    pub(crate) fn finish(self) -> Result<()> {
        let done = self.member.free_slot(self.slot);
        std::mem::forget(self);
        done
    }
}

impl Drop for DeadMember<'_> {
    fn drop(&mut self) {
        let byte = byte(&self.member.space, self.member.node, self.slot.into());
        if let Err(e) = self.member.control.release(byte) {
            log::warn!("giving a dead member's byte back: {e}");
        }
    }
}

impl Holder for Member {
    fn identity(&self) -> (u16, u32) {
        (self.slot, self.epoch)
    }

    fn is_alive(&self, slot: u16, epoch: u32) -> bool {
        let slot = u64::from(slot);
        if slot >= self.space.layout().shape.members {
            return false;
        }
        let state = line(&self.space, slot)[At::State as usize].load();
        taken(state) && epoch_of(state) == epoch && self.is_alive_on(self.node, slot)
    }

    fn describe(&self, slot: u16) -> String {
        let info = info(&self.space, &self.control, self.node, slot.into());
        info.map_or_else(|| format!("member {slot}"), |m| format!("process {} ({})", m.pid, m.command))
    }
}

/// Writes who this process is, for people to read.
fn introduce(identity: &[Word]) {
    identity[At::Pid as usize].store(std::process::id().into());
    identity[At::Uid as usize].store(process::effective_uid().into());
    identity[At::Since as usize].store(process::unix_ns());
    let mut name = [0; COMMAND_BYTES];
    let command = process::command_name();
    let len = command.len().min(COMMAND_BYTES);
    name[..len].copy_from_slice(&command.as_bytes()[..len]);
    for (i, bytes) in name.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        identity[At::Command as usize + i].store(u64::from_le_bytes(word));
    }
}

/// The member in a slot, as far as its line is new here.
fn info(space: &Space, control: &ControlFile, node: u64, slot: u64) -> Option<MemberInfo> {
    let members = space.layout().shape.members;
    if slot >= members {
        return None;
    }
    let words = space.remote(space.layout().member_off(node, slot), WORDS_PER_LINE);
    if !taken(words[At::State as usize].load()) {
        return None;
    }
    let name: Vec<u8> =
        (0..COMMAND_BYTES / 8).flat_map(|i| words[At::Command as usize + i].load().to_le_bytes()).collect();
    let stat = |shard, stat: Stat| {
        space.remote(stat_off(space, node, slot, shard), WORDS_PER_LINE)[stat as usize].load()
    };
    let live =
        (0..MEMBER_STAT_SHARDS).fold(0u64, |sum, shard| sum.wrapping_add(stat(shard, Stat::LiveBytes)));
    Some(MemberInfo {
        node,
        slot: u16::try_from(slot).unwrap_or(u16::MAX),
        pid: words[At::Pid as usize].load(),
        uid: words[At::Uid as usize].load(),
        since_unix_ns: words[At::Since as usize].load(),
        command: String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned(),
        alive: is_alive(space, control, node, slot),
        beat_unix_ns: words[At::Beat as usize].load(),
        live_bytes: if live > i64::MAX as u64 { 0 } else { live },
        peak_bytes: stat(0, Stat::PeakBytes),
    })
}

/// Whether the member in `slot` of `node` lives. Says yes where this host cannot tell.
fn is_alive(space: &Space, control: &ControlFile, node: u64, slot: u64) -> bool {
    !control.sees(node, space.node()) || control.is_alive(byte(space, node, slot))
}

/// The byte of the control file that a member holds.
fn byte(space: &Space, node: u64, slot: u64) -> u64 {
    node * space.layout().shape.members + slot
}

/// Whether a slot of this node is taken at this moment, by the living or the dead.
pub(crate) fn is_taken(space: &Space, slot: u16) -> bool {
    let slot = u64::from(slot);
    slot < space.layout().shape.members && taken(line(space, slot)[At::State as usize].load())
}

/// Every member of every node, the dead included.
pub(crate) fn list(space: &Space, control: &ControlFile) -> Vec<MemberInfo> {
    let shape = &space.layout().shape;
    let members_of = |node| {
        let lines = (0..shape.members).map(|slot| line_range(space, node, slot));
        let lines: Vec<_> = lines.chain([node::line(space, node)]).collect();
        space.coherence().acquire(Step::MembersIn, node, &lines);
        let members = if node::is_of_this_region(space, node) { shape.members } else { 0 };
        (0..members).filter_map(move |slot| info(space, control, node, slot))
    };
    (0..shape.nodes).flat_map(members_of).collect()
}
