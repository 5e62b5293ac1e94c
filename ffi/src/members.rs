//! `csm_members_t`: the processes that have a region open.

use std::ffi::c_char;

use csm::MemberInfo;

use crate::error::chars;
use crate::handle::{Handle, Handles};
use crate::options::c_structs;
use crate::region::csm_region_t;
use crate::snapshot;

/// The processes that had a region open when they were read.
pub struct csm_members_t {
    _opaque: [u8; 0],
}

impl Handle for csm_members_t {
    type Object = Vec<MemberInfo>;
    const KIND: u64 = 5;
    const NAME: &'static str = "csm_members_t";
    fn handles() -> &'static Handles<Self::Object> {
        static HANDLES: Handles<Vec<MemberInfo>> = Handles::new();
        &HANDLES
    }
}

/// A process that has a region open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_member_info_t {
    /// Set by the caller: `sizeof(csm_member_info_t)`.
    pub struct_size: u64,
    /// Its node.
    pub node: u64,
    /// Its slot on that node.
    pub slot: u64,
    /// Its process id, in its own PID namespace.
    pub pid: u64,
    /// Its effective user id.
    pub uid: u64,
    /// When it opened the region, in nanoseconds since the epoch.
    pub since_unix_ns: u64,
    /// 1 if it lives; a dead one is about to be cleared up.
    pub alive: u64,
    /// Bytes it allocated and holds.
    pub live_bytes: u64,
    /// The most bytes it held at once.
    pub peak_bytes: u64,
    /// Its program's name.
    pub command: [c_char; 40],
    /// Its last sign of life, in nanoseconds since the epoch by its own clock; 0 where the kernel knows better.
    pub beat_unix_ns: u64,
}

c_structs!(csm_member_info_t);

impl From<&MemberInfo> for csm_member_info_t {
    fn from(member: &MemberInfo) -> Self {
        Self {
            struct_size: 0,
            node: member.node,
            slot: member.slot.into(),
            pid: member.pid,
            uid: member.uid,
            since_unix_ns: member.since_unix_ns,
            alive: member.alive.into(),
            live_bytes: member.live_bytes,
            peak_bytes: member.peak_bytes,
            command: chars(&member.command),
            beat_unix_ns: member.beat_unix_ns,
        }
    }
}

export! {
    /// Reads which processes have the region open, on every node, the dead that were not cleared up included.
    ///
    /// Free it with `csm_members_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
    pub fn csm_members_read(region: *const csm_region_t, members: *mut *mut csm_members_t) -> Result {
        members.place()?;
        snapshot::open(region.object()?.members()?, &members)
    }

    /// How many processes there are. 0 if the list was freed, which `csm_members_entry` tells.
    ///
    /// Thread-safe.
    pub fn csm_members_len(members: *const csm_members_t) -> u64 {
        snapshot::len(&members)
    }

    /// Writes process `index`, from 0 on, to `info`, whose `struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
    pub fn csm_members_entry(members: *const csm_members_t, index: u64, info: *mut csm_member_info_t) -> Result {
        snapshot::entry(&members, &index, &info)
    }

    /// Ends the handle.
    ///
    /// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
    pub fn csm_members_free(members: *mut csm_members_t) -> crate::error::csm_status_t {
        crate::error::status(members.close().map(drop))
    }
}
