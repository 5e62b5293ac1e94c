//! The superblock: what a region is, written once at creation, checked before anything else is read.
//!
//! Little-endian fields at fixed offsets in the first 512 bytes, CRC-32 at the end. The magic is written
//! last and home before anybody can find the region. Three sets of feature bits as in file systems: unknown
//! compatible bits are ignored, unknown read-only-compatible bits allow reading, unknown incompatible
//! bits refuse. The offsets of the tables are stored too, and must be those the layout computes.

use uuid::Uuid;

use super::layout::{Layout, SLOT_BYTES, Shape};
use crate::device::CoherenceReport;
use crate::error::{Error, ErrorKind, Result};

/// Version of the layout this build writes and reads.
pub(crate) const LAYOUT_VERSION: u32 = 2;
/// Bytes of a superblock.
pub(crate) const SUPERBLOCK_BYTES: usize = 512;

const MAGIC: &[u8; 8] = b"CSMREGN\0";
const CRC_OFF: usize = SUPERBLOCK_BYTES - 4;
const KNOWN_RO_COMPATIBLE: u64 = 0;
const KNOWN_INCOMPATIBLE: u64 = 0;

/// Page sizes a region can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum HugePages {
    /// The system's ordinary pages.
    None = 0,
    /// Transparent huge pages where the kernel finds them.
    Transparent = 1,
    /// Reserved huge pages of 2 MiB.
    Reserved = 2,
}

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) uuid: Uuid,
    pub(crate) base: u64,
    pub(crate) slot: u64,
    pub(crate) shape: Shape,
    pub(crate) huge_pages: HugePages,
    /// What the link needs, if the region's creator said so; else the device's own report counts.
    pub(crate) coherence: Option<CoherenceReport>,
    pub(crate) owner_uid: u32,
    pub(crate) owner_node: u64,
    pub(crate) created_unix_ns: u64,
    /// The region lies in a window that was there before it.
    pub(crate) in_window: bool,
}

/// Offsets of the fields; all but the version and the uuid are 8 bytes.
#[derive(Clone, Copy)]
#[repr(usize)]
enum At {
    Version = 8,
    Compatible = 16,
    RoCompatible = 24,
    Incompatible = 32,
    Uuid = 40,
    Base = 56,
    Slot = 64,
    Size = 72,
    Max = 80,
    Nodes = 88,
    Members = 96,
    Leases = 104,
    Names = 112,
    HugePages = 120,
    OwnerUid = 128,
    OwnerNode = 136,
    Created = 144,
    BitmapOff = 152,
    EntriesOff = 160,
    RefsOff = 168,
    NodesOff = 176,
    DataOff = 184,
    Coherence = 192,
    Protect = 200,
    InWindow = 208,
}

impl Superblock {
    /// The address of the region's first byte.
    pub(crate) fn address(&self) -> u64 {
        self.base + self.slot * SLOT_BYTES
    }

    pub(crate) fn encode(&self, layout: &Layout) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        let mut put =
            |at: At, value: u64| bytes[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
        put(At::Version, LAYOUT_VERSION.into());
        put(At::Compatible, 0);
        put(At::RoCompatible, 0);
        put(At::Incompatible, 0);
        put(At::Base, self.base);
        put(At::Slot, self.slot);
        put(At::Size, self.shape.size_bytes);
        put(At::Max, self.shape.max_bytes);
        put(At::Nodes, self.shape.nodes);
        put(At::Members, self.shape.members);
        put(At::Leases, self.shape.leases);
        put(At::Names, self.shape.names);
        put(At::HugePages, self.huge_pages as u64);
        put(At::Coherence, coherence_number(self.coherence));
        put(At::Protect, self.shape.protect.into());
        put(At::InWindow, self.in_window.into());
        put(At::OwnerUid, self.owner_uid.into());
        put(At::OwnerNode, self.owner_node);
        put(At::Created, self.created_unix_ns);
        for (at, value) in offsets(layout) {
            put(at, value);
        }
        bytes[At::Uuid as usize..At::Uuid as usize + 16].copy_from_slice(self.uuid.as_bytes());
        bytes[..8].copy_from_slice(MAGIC);
        let crc = crc32fast::hash(&bytes[..CRC_OFF]);
        bytes[CRC_OFF..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a superblock, and the layout that follows from it. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotARegion`], [`ErrorKind::LayoutMismatch`], [`ErrorKind::Corrupt`].
    pub(crate) fn decode(bytes: &[u8; SUPERBLOCK_BYTES], writable: bool) -> Result<(Self, Layout)> {
        if &bytes[..8] != MAGIC {
            let text = format!(
                "it does not begin with a region's magic number (found {:02x?}); it is something else, or was overwritten",
                &bytes[..8]
            );
            return Err(Error::new(ErrorKind::NotARegion, text));
        }
        let get = |at: At| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at as usize..at as usize + 8]);
            u64::from_le_bytes(field)
        };
        // The version comes before the checksum: another version may place that elsewhere.
        let version = get(At::Version);
        if version != u64::from(LAYOUT_VERSION) {
            let text = format!(
                "its layout version is {version} and this build knows {LAYOUT_VERSION}; use the libcsm that made it, or create it anew"
            );
            return Err(Error::new(ErrorKind::LayoutMismatch, text));
        }
        let mut crc = [0; 4];
        crc.copy_from_slice(&bytes[CRC_OFF..]);
        let (stored, computed) = (u32::from_le_bytes(crc), crc32fast::hash(&bytes[..CRC_OFF]));
        if stored != computed {
            let text = format!(
                "its superblock does not check (CRC {stored:08x}, computed {computed:08x}): it was overwritten; destroy it and create it anew"
            );
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let unknown = get(At::Incompatible) & !KNOWN_INCOMPATIBLE;
        let unknown_rw = get(At::RoCompatible) & !KNOWN_RO_COMPATIBLE;
        if unknown != 0 || (writable && unknown_rw != 0) {
            let text = format!(
                "it uses features this build does not know (incompatible {unknown:#x}, read-only compatible {unknown_rw:#x}); use a newer libcsm"
            );
            return Err(Error::new(ErrorKind::LayoutMismatch, text));
        }
        let corrupt = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("its superblock holds a wrong {what}; create it anew"))
        };
        let shape = Shape {
            size_bytes: get(At::Size),
            max_bytes: get(At::Max),
            nodes: get(At::Nodes),
            members: get(At::Members),
            leases: get(At::Leases),
            names: get(At::Names),
            protect: match get(At::Protect) {
                0 => false,
                1 => true,
                _ => return Err(corrupt("choice of protection")),
            },
        };
        let layout =
            Layout::new(shape).map_err(|e| e.context("its superblock").with_kind(ErrorKind::Corrupt))?;
        if offsets(&layout).iter().any(|(at, value)| get(*at) != *value) {
            return Err(corrupt("table offset"));
        }
        let huge_pages = match get(At::HugePages) {
            0 => HugePages::None,
            1 => HugePages::Transparent,
            2 => HugePages::Reserved,
            _ => return Err(corrupt("page size")),
        };
        let choices =
            [None].into_iter().chain(CoherenceReport::NAMED.iter().map(|(_, report)| Some(*report)));
        let Some(coherence) = choices.into_iter().find(|c| coherence_number(*c) == get(At::Coherence)) else {
            return Err(corrupt("coherence report"));
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[At::Uuid as usize..At::Uuid as usize + 16]);
        let superblock = Self {
            uuid: Uuid::from_bytes(uuid),
            base: get(At::Base),
            slot: get(At::Slot),
            shape,
            huge_pages,
            coherence,
            owner_uid: u32::try_from(get(At::OwnerUid)).map_err(|_| corrupt("owner"))?,
            owner_node: get(At::OwnerNode),
            created_unix_ns: get(At::Created),
            in_window: match get(At::InWindow) {
                0 => false,
                1 => true,
                _ => return Err(corrupt("kind of window")),
            },
        };
        let address =
            superblock.slot.checked_mul(SLOT_BYTES).and_then(|off| off.checked_add(superblock.base));
        if address.is_none_or(|a| a == 0 || !a.is_multiple_of(SLOT_BYTES) || a > 1 << 56) {
            return Err(corrupt("address"));
        }
        if superblock.owner_node >= shape.nodes {
            return Err(corrupt("owner node"));
        }
        Ok((superblock, layout))
    }
}

/// 0 for none, then the reports in the order of their names.
fn coherence_number(coherence: Option<CoherenceReport>) -> u64 {
    let at = CoherenceReport::NAMED.iter().position(|(_, report)| Some(*report) == coherence);
    at.map_or(0, |at| at as u64 + 1)
}

fn offsets(layout: &Layout) -> [(At, u64); 5] {
    [
        (At::BitmapOff, layout.bitmap_off),
        (At::EntriesOff, layout.entries_off),
        (At::RefsOff, layout.refs_off),
        (At::NodesOff, layout.nodes_off),
        (At::DataOff, layout.data_off),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MIB;

    fn sample() -> (Superblock, Layout) {
        let shape = Shape {
            size_bytes: 64 * MIB,
            max_bytes: 128 * MIB,
            nodes: 4,
            members: 16,
            leases: 100,
            names: 100,
            protect: true,
        };
        let superblock = Superblock {
            uuid: Uuid::from_bytes([7; 16]),
            base: crate::map::DEFAULT_BASE,
            slot: 3,
            shape,
            huge_pages: HugePages::Transparent,
            coherence: Some(CoherenceReport::LOCAL),
            owner_uid: 1000,
            owner_node: 0,
            created_unix_ns: 17,
            in_window: true,
        };
        (superblock, Layout::new(shape).expect("layout"))
    }

    #[test]
    fn it_round_trips() {
        let (superblock, layout) = sample();
        assert_eq!(
            Superblock::decode(&superblock.encode(&layout), true).expect("decode"),
            (superblock, layout)
        );
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let (superblock, layout) = sample();
        let good = superblock.encode(&layout);
        for at in 0..SUPERBLOCK_BYTES {
            let mut bytes = good;
            bytes[at] ^= 0x10;
            let e = Superblock::decode(&bytes, true).expect_err("must be found");
            assert!(
                matches!(e.kind(), ErrorKind::NotARegion | ErrorKind::LayoutMismatch | ErrorKind::Corrupt),
                "{at}"
            );
        }
    }

    #[test]
    fn unknown_features_refuse_as_they_should() {
        let (superblock, layout) = sample();
        let with = |at: At| {
            let mut bytes = superblock.encode(&layout);
            bytes[at as usize] = 1;
            let crc = crc32fast::hash(&bytes[..CRC_OFF]);
            bytes[CRC_OFF..].copy_from_slice(&crc.to_le_bytes());
            bytes
        };
        assert!(Superblock::decode(&with(At::Compatible), true).is_ok());
        assert!(Superblock::decode(&with(At::RoCompatible), false).is_ok());
        for (at, writable) in [(At::RoCompatible, true), (At::Incompatible, false)] {
            let e = Superblock::decode(&with(at), writable).expect_err("must refuse");
            assert_eq!(e.kind(), ErrorKind::LayoutMismatch);
        }
    }
}
