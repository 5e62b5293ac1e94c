//! Which devices there are, and which options: one table, of which the documentation and the error texts are made.

/// What kind of device a URI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Shared memory of one host.
    Shm,
    /// Shared memory of one host that behaves like a link without coherence: the simulator.
    Incoherent,
    /// A file, or a character device, that can be mapped.
    File,
    /// Memory of a device that the kernel maps directly: persistent memory, CXL.
    Dax,
    /// A PCI device's BAR.
    Vfio,
    /// Another host's memory by ThymesisFlow, or this one's lent to it.
    ThymesisFlow,
}

impl Scheme {
    /// Every scheme, as it is written.
    pub const ALL: [(&'static str, Self); 6] = [
        ("shm", Self::Shm),
        ("incoherent", Self::Incoherent),
        ("file", Self::File),
        ("dax", Self::Dax),
        ("vfio", Self::Vfio),
        ("thymesisflow", Self::ThymesisFlow),
    ];

    /// Whether regions of this scheme have `option`.
    #[must_use]
    pub fn has(self, option: &str) -> bool {
        Self::with(option).is_none_or(|schemes| schemes.contains(&self))
    }

    /// The schemes whose regions have `option`, where not all have it.
    #[must_use]
    pub fn with(option: &str) -> Option<&'static [Self]> {
        SOME.iter().find(|(options, _)| options.contains(&option)).map(|(_, schemes)| *schemes)
    }

    /// `schemes` as text: `shm: and file:`.
    #[must_use]
    pub fn list(schemes: &[Self]) -> String {
        let words: Vec<_> = schemes.iter().map(|scheme| format!("{}:", scheme.as_str())).collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }

    /// Whether the name is a path: it is shown as it is.
    pub(super) fn names_paths(self) -> bool {
        !matches!(self, Self::Shm | Self::Incoherent)
    }

    /// The scheme as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }
}

/// When an option means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Shapes a new region; an error at open.
    Create,
    /// Shapes a new region; at open it must agree with the region, if given.
    Checked,
    /// Concerns this opening alone.
    PerOpen,
}

/// Every option: name, sort, default, meaning. The documentation and the error texts are made of this. Those of
/// one scheme alone are known to [`Scheme::with`].
pub const OPTIONS: &[(&str, Sort, &str, &str)] = &[
    ("size", Sort::Checked, "-", "bytes of the region, metadata included; a multiple of 2M"),
    ("max", Sort::Checked, "size", "bytes the region may grow to"),
    ("slot", Sort::Checked, "auto", "slot of address space, 0 to 20; auto takes the first free one"),
    ("base", Sort::Checked, "0x400000000000", "address of slot 0; a multiple of 1T"),
    (
        "hugepages",
        Sort::Checked,
        "none",
        "none, thp (transparent; 1 to 3 s a GiB at creation where the system does not give them) or 2M (reserved, hugetlbfs)",
    ),
    ("prefault", Sort::PerOpen, "no", "yes makes every page present at once, in parallel"),
    ("numa", Sort::Create, "any", "NUMA node whose memory is used"),
    ("mode", Sort::Create, "0600", "who may open the region, octal as for chmod"),
    ("access", Sort::PerOpen, "rw", "ro maps everything but this process's leases read-only"),
    ("catalog", Sort::Checked, "4096", "names the catalog has room for"),
    ("nodes", Sort::Checked, "8", "nodes the region has room for"),
    ("members", Sort::Checked, "128", "processes a node the region has room for"),
    ("leases", Sort::Checked, "4096", "leases a node the region has room for"),
    (
        "protect",
        Sort::Checked,
        "no",
        "yes: a process that only reads can load only what it has a lease on; every extent has pages of its own, 16 KiB at least",
    ),
    ("node", Sort::PerOpen, "0", "this process's node; node 0 owns the region"),
    ("owner", Sort::PerOpen, "own uid", "user id that must own the region"),
    ("wait", Sort::PerOpen, "10s", "the longest this process waits for another one, in s or ms"),
    (
        "coherence",
        Sort::Checked,
        "the device's",
        "what the nodes do for coherence: gc (nothing), lender (borrowers write back and invalidate) or lc (all do)",
    ),
    (
        "flush",
        Sort::PerOpen,
        "auto",
        "the cache instruction to use, for tests: clwb, clflushopt, clflush, ...",
    ),
    ("profile", Sort::Checked, "lc", "the simulated link, as for coherence="),
    ("line", Sort::Checked, "128", "bytes that the simulated link moves at once: 64 or 128"),
    ("seed", Sort::PerOpen, "1", "what the simulated link's adversary draws from"),
    (
        "boot",
        Sort::PerOpen,
        "last",
        "which start of the simulated node this is, from 1; a larger one loses the node's cache",
    ),
    ("delay", Sort::PerOpen, "0ms", "how long the simulated link takes to move lines, a fence"),
    ("loss", Sort::PerOpen, "never", "lines after which the simulated link fails in this process"),
    (
        "fixed",
        Sort::PerOpen,
        "no",
        "yes: the file is there, and is used as a device's window is: it keeps its length",
    ),
    ("off", Sort::PerOpen, "0", "where in the device the region's window begins"),
    ("len", Sort::PerOpen, "the rest", "bytes of the device that are the region's window"),
    ("overwrite", Sort::Create, "no", "yes: what the window holds is no region, and may be lost"),
    ("bar", Sort::PerOpen, "2", "the PCI device's BAR that is the window"),
    ("role", Sort::PerOpen, "-", "memory: this node lends its memory; compute: it borrows"),
    ("name", Sort::PerOpen, "0", "tells apart what one node lends"),
    ("port", Sort::PerOpen, "0", "the link's port: 0, 1 or both"),
    ("section", Sort::PerOpen, "0", "the section that the borrowed memory appears in, 0 to 7"),
    ("ea", Sort::PerOpen, "-", "effective address of the memory on the node that lends it"),
    ("via", Sort::PerOpen, "/dev/tfshmem", "the character device that maps borrowed memory, or hotplug"),
];

/// Options that not every kind of device has.
const SOME: &[(&[&str], &[Scheme])] = &[
    (&["hugepages", "numa"], &[Scheme::Shm]),
    (&["mode"], &[Scheme::Shm, Scheme::Incoherent, Scheme::File]),
    (&["coherence", "flush"], &[Scheme::Shm, Scheme::File, Scheme::Dax, Scheme::Vfio, Scheme::ThymesisFlow]),
    (&["profile", "line", "seed", "boot", "delay", "loss"], &[Scheme::Incoherent]),
    (&["fixed"], &[Scheme::File]),
    (&["off", "len", "overwrite"], WINDOWS),
    (&["bar"], &[Scheme::Vfio]),
    (&["role", "name", "port", "section", "ea", "via"], &[Scheme::ThymesisFlow]),
];

/// Devices with windows of a fixed length.
const WINDOWS: &[Scheme] = &[Scheme::File, Scheme::Dax, Scheme::Vfio, Scheme::ThymesisFlow];
