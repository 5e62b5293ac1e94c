//! A region that is overwritten with garbage and then used in every way there is.
//!
//! Bytes say what to overwrite (a seeded test or a fuzzer makes them). Metadata and descriptors are hit, never
//! the values in buffers: those are their writer's word. So a table that opens must be the right one.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use csm::{Context, Region};

use crate::descriptors::Descriptors;
use crate::devices::SHM;
use crate::fixture::{Fixture, Scratch};
use crate::process::Peer;
use crate::table::{many_types, open, publish, publish_stamp, stamp_of};

/// How a region is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Garbage while nobody has the region open.
    Closed,
    /// Garbage while the process that suffers it has it open, and reads tables.
    Open,
    /// Another superblock.
    Superblock,
    /// A descriptor with a checksum that fits, as a hostile writer would make it.
    Descriptor,
    /// Options in the URI.
    Uri,
}

impl Attack {
    /// Every attack, by name.
    pub const ALL: &[(&str, Attack)] = &[
        ("closed", Attack::Closed),
        ("open", Attack::Open),
        ("superblock", Attack::Superblock),
        ("descriptor", Attack::Descriptor),
        ("uri", Attack::Uri),
    ];
}

const PAGE: usize = 4096;
const LINE: usize = 128;
/// Where the superblock says at which offset the data begins, and where its checksum is.
const DATA_OFF_AT: u64 = 184;
const CRC_AT: usize = 508;
pub(crate) const DESCRIPTOR_MAGIC: &[u8] = b"CSMTABLE";
const TABLES: i64 = 6;

fn name(i: i64) -> String {
    format!("table {i}")
}

/// Creates the region of `scratch` and leaves it with tables.
pub fn furnish(scratch: &Scratch<'_>) {
    let region = scratch.create("size=6M&max=16M&catalog=16&nodes=2&members=4&leases=112");
    for i in 0..TABLES {
        publish_stamp(&region, &name(i), 50 * i + 1, i).expect("publish");
    }
    publish(&region, "types", &[many_types()], false).expect("publish");
    drop(region);
    // From now on every node has been there.
    drop(scratch.open("node=1"));
}

/// Leaves what the dead leave: members, leases, generations in waiting.
pub fn haunt(scratch: &Scratch<'_>) {
    let region = scratch.open("");
    let mut reader = Peer::start("lease", &[&scratch.uri, "table 0"]);
    reader.await_line("0");
    let mut hoarder = Peer::start("hoard", &[&scratch.uri]);
    hoarder.hear();
    publish_stamp(&region, &name(0), 100, 0).expect("replace");
    publish_stamp(&region, "gone", 10, 0).expect("publish");
    region.remove("gone").expect("remove");
    drop(region);
    // Killed last, so that nobody clears up after them.
    hoarder.kill();
    reader.kill();
}

/// A file with the region's bytes. Where nodes have caches there are several, and garbage gets into all of them: in
/// one alone it would only be out of date.
struct Copy {
    file: File,
    len: u64,
    /// Pages that are not all zero, and their offsets.
    pages: Vec<(u64, Vec<u8>)>,
}

impl Copy {
    fn read(path: &PathBuf) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("the region's file");
        let len = file.metadata().expect("stat").len();
        let (mut pages, mut page) = (Vec::new(), vec![0; PAGE]);
        for off in (0..len).step_by(PAGE) {
            file.read_exact_at(&mut page, off).expect("read");
            if page.iter().any(|byte| *byte != 0) {
                pages.push((off, page.clone()));
            }
        }
        Self { file, len, pages }
    }

    fn restore(&self) {
        let len = libc::off_t::try_from(self.len).expect("a length");
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        self.file.set_len(self.len).expect("truncate");
        // SAFETY: plain system call on an open file.
        assert_eq!(unsafe { libc::fallocate(self.file.as_raw_fd(), mode, 0, len) }, 0, "punching holes");
        for (off, page) in &self.pages {
            self.file.write_all_at(page, *off).expect("write");
        }
    }
}

/// A region as it is to be found every time, and where to hit it.
pub struct Victim {
    context: Context,
    uri: String,
    /// Every copy of its bytes; the first is what is looked at to choose where to hit.
    copies: Vec<Copy>,
    data_off: u64,
    /// Offsets of the lines of metadata and descriptors that are in use.
    lines: Vec<u64>,
    descriptors: Descriptors,
}

impl Victim {
    /// Takes the region as it is now, in these files; nobody has it open.
    #[must_use]
    pub fn adopt(uri: &str, files: &[PathBuf]) -> Self {
        let copies: Vec<Copy> = files.iter().map(Copy::read).collect();
        let first = copies.first().expect("a file");
        let mut word = [0; 8];
        first.file.read_exact_at(&mut word, DATA_OFF_AT).expect("read");
        let data_off = u64::from_le_bytes(word);
        let mut lines = Vec::new();
        for (off, page) in &first.pages {
            for (at, line) in page.chunks(LINE).enumerate() {
                let line_off = off + (at * LINE) as u64;
                if line_off < data_off && line.iter().any(|byte| *byte != 0) {
                    lines.push(line_off);
                } else if line.starts_with(DESCRIPTOR_MAGIC) {
                    lines.extend([line_off, line_off + LINE as u64]);
                }
            }
        }
        assert!(lines.len() > 30, "the region has metadata");
        let descriptors = Descriptors::of(&first.pages, first.len);
        let context = Context::new().expect("context");
        Self { context, uri: uri.to_owned(), copies, data_off, lines, descriptors }
    }

    /// Puts every byte back. Nobody has the region open.
    pub fn restore(&self) {
        self.copies.iter().for_each(Copy::restore);
    }

    fn read(&self, line: &mut [u8; LINE], off: u64) {
        self.copies[0].file.read_exact_at(line, off).expect("read");
    }

    fn write(&self, bytes: &[u8], off: u64) {
        self.copies.iter().for_each(|copy| copy.file.write_all_at(bytes, off).expect("write"));
    }

    /// Overwrites what `bytes` say, 16 of them a hit: which line (now and then one that is not in use), where
    /// in it, how, and with what.
    fn hit(&self, bytes: &[u8]) {
        for hit in bytes.chunks_exact(16) {
            let pick = usize::from(u16::from_le_bytes([hit[0], hit[1]]));
            let mut off = self.lines[pick % self.lines.len()];
            if hit[2] & 0xf0 == 0xf0 {
                off = (off + u64::from(hit[5]) * LINE as u64) % self.data_off;
            }
            let mut line = [0; LINE];
            self.read(&mut line, off);
            let at = usize::from(hit[3]) % LINE;
            match hit[2] % 8 {
                0 | 1 => line[at] ^= 1 << (hit[4] % 8),
                2 => line[at] = hit[4],
                3 => line[at / 8 * 8..at / 8 * 8 + 8].copy_from_slice(&hit[8..16]),
                4 => line[at / 8 * 8..at / 8 * 8 + 8].fill(0xff),
                5 => line[at / 8 * 8..at / 8 * 8 + 8].fill(0),
                6 => line.fill(hit[4]),
                _ => {
                    let from =
                        self.lines[usize::from(u16::from_le_bytes([hit[4], hit[5]])) % self.lines.len()];
                    self.read(&mut line, from);
                }
            }
            self.write(&line, off);
        }
    }

    /// Attacks the region with `bytes`.
    pub fn suffer(&self, bytes: &[u8], attack: Attack) {
        match attack {
            Attack::Closed | Attack::Open => self.suffer_garbage(bytes, attack),
            Attack::Superblock => self.suffer_superblock(bytes),
            Attack::Descriptor => self.descriptors.suffer(bytes),
            Attack::Uri => self.suffer_uri(&String::from_utf8_lossy(bytes)),
        }
    }

    /// Restores the region, hits it, and does everything a program can do with it.
    fn suffer_garbage(&self, bytes: &[u8], attack: Attack) {
        self.restore();
        // A lock that garbage calls taken is waited for no longer than this.
        let uri = format!("{}?wait=20ms", self.uri);
        if attack == Attack::Closed {
            self.hit(bytes);
        }
        let Ok(region) = self.context.open(&uri) else {
            assert!(attack == Attack::Closed, "a sound region opens");
            return;
        };
        let mut tables = Vec::new();
        if attack == Attack::Open {
            tables.extend((0..TABLES).map(|i| (i, open(&region, &name(i)).expect("a sound table"))));
            self.hit(bytes);
        }
        for (stamp, table) in tables {
            // A lease may be lost to garbage; what was opened is what it was.
            let _ = (table.check(), table.is_current());
            assert_eq!(table.record_batches().map(|batches| stamp_of(&batches)).ok(), Some(Ok(stamp)));
        }
        look(&region);
        change(&region);
        look_at_numbers(&region);
    }

    /// Replaces the superblock by one that `bytes` say, with a checksum that fits if the first is odd; and opens.
    fn suffer_superblock(&self, bytes: &[u8]) {
        let sound = &self.copies[0].pages[0].1[..512];
        let mut block = sound.to_vec();
        for hit in bytes.get(1..).unwrap_or_default().chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([hit[0], hit[1]])) % 512;
            block[at] = hit[2];
        }
        if bytes.first().is_some_and(|first| first % 2 == 1) {
            let crc = crc32fast::hash(&block[..CRC_AT]);
            block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        }
        self.write(&block, 0);
        for options in ["", "?access=ro", "?node=1"] {
            if let Ok(region) = self.context.open(&format!("{}{options}", self.uri)) {
                look_at_numbers(&region);
            }
        }
        self.write(sound, 0);
    }

    /// Parses a URI, and opens the region with what it says as options.
    fn suffer_uri(&self, text: &str) {
        if let Ok(uri) = csm::uri::Uri::parse(text) {
            let again = csm::uri::Uri::parse(&uri.to_string()).expect("what it prints parses");
            assert_eq!(uri, again);
        }
        if let Ok(region) = self.context.open(&format!("{}?{text}", self.uri)) {
            look_at_numbers(&region);
        }
    }
}

fn look_at_numbers(region: &Region) {
    let _ = (region.info(), region.stats(), region.members(), region.leases());
}

/// Reads everything: a table that opens is the right one.
fn look(region: &Region) {
    look_at_numbers(region);
    let listed = region.tables().unwrap_or_default();
    for i in (0..TABLES).map(name).chain(["gone".to_owned(), "never".to_owned(), "types".to_owned()]) {
        let Ok(table) = open(region, &i) else { continue };
        assert_eq!(table.name(), i);
        let right = i.strip_prefix("table ").and_then(|number| number.parse().ok());
        let stamp = table.record_batches().map(|batches| stamp_of(&batches));
        assert!(
            right.is_none() || stamp.as_ref().ok() == right.map(Ok).as_ref(),
            "{i} has the stamp {stamp:?}"
        );
        let _ = (table.validate(), table.check(), table.is_current());
    }
    for table in listed {
        let _ = open(region, &table.name);
    }
    let _ = region.wait("never", std::time::Duration::ZERO);
    let _ = region.wait(&name(1), std::time::Duration::ZERO);
}

/// Changes everything. Whether it works is for the garbage to say; that it ends is not.
fn change(region: &Region) {
    let extents: Vec<_> =
        [64, 5000, 60_000, 300_000].iter().filter_map(|size| region.alloc(*size, 64).ok()).collect();
    let _ = publish_stamp(region, "new", 20, 77);
    let _ = publish_stamp(region, &name(1), 20, 78);
    let _ = region.remove(&name(2));
    let _ = region.remove("gone");
    let _ = region.verify();
    let _ = region.reap();
    for extent in extents {
        // SAFETY: allocated above, and not used any more.
        let _ = unsafe { region.free(extent, None) };
    }
    let _ = region.grow(8 << 20);
    let _ = region.alloc(1 << 20, 64);
    let _ = publish_stamp(region, &name(3), 20, 79);
    let _ = region.verify();
}

/// One input of a fuzz target. The victim is a region named after the process; who runs the fuzzer removes it.
pub fn fuzz(bytes: &[u8], attack: Attack) {
    static VICTIM: OnceLock<(Scratch<'static>, Victim)> = OnceLock::new();
    let (_, victim) = VICTIM.get_or_init(|| {
        let scratch = Scratch::new(&SHM);
        furnish(&scratch);
        let victim = Victim::adopt(&scratch.uri, &SHM.copies(&scratch.uri));
        (scratch, victim)
    });
    victim.suffer(bytes, attack);
}
