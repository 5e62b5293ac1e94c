//! The link: lines at home, and what each view holds of them.
//!
//! A view is what stands between a process and home. On a cached node it is the node's cache,
//! shared by its processes and outliving them. On a coherent node it is the process's own
//! processor: dirty cells are its store buffer, clean cells are loads it made early.
//! When a dirty line goes home and when a line is fetched is the adversary's choice; the
//! process only decides by when it must have happened.

/// Most processes in a model.
pub const PROCS: usize = 4;
/// Most places a table can lie in.
pub const PLACES: usize = 2;
/// Index of a line.
pub type Line = usize;
/// The line of the catalog slot: its commit word.
pub const COMMIT: Line = 0;
/// The line of the borrower node's incarnation.
pub const INCARNATION: Line = 1 + 2 * PLACES + PROCS;
/// The line of the owner node's mark for the borrower node: the lowest incarnation whose leases count.
pub const MARK: Line = INCARNATION + 1;
/// Number of lines.
pub const LINES: usize = MARK + 1;
/// Bits of lines.
pub type LineSet = u16;

/// The line of the descriptor of `place`.
#[must_use]
pub fn descriptor(place: u8) -> Line {
    1 + 2 * usize::from(place)
}

/// The line of the data of `place`.
#[must_use]
pub fn data(place: u8) -> Line {
    2 + 2 * usize::from(place)
}

/// The line of the lease word of process `p`.
#[must_use]
pub fn lease(p: usize) -> Line {
    1 + 2 * PLACES + p
}

/// What to call a line.
#[must_use]
pub fn name(line: Line) -> String {
    match line {
        COMMIT => "catalog slot".into(),
        INCARNATION => "incarnation".into(),
        MARK => "mark".into(),
        _ if line >= lease(0) => format!("lease of {}", line - lease(0)),
        _ if line % 2 == 1 => format!("descriptor at {}", line / 2),
        _ => format!("data at {}", line / 2 - 1),
    }
}

/// The lines in a set.
pub fn lines(set: LineSet) -> impl Iterator<Item = Line> {
    (0..LINES).filter(move |line| set & (1 << line) != 0)
}

/// What a view holds of a line. One byte, since millions of them are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cell {
    Absent,
    Clean(u8),
    Dirty(u8),
}

/// All lines, at home and in every view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    home: [u8; LINES],
    views: [[Cell; LINES]; PROCS],
}

impl Memory {
    /// All lines zero and nothing cached.
    #[must_use]
    pub fn new() -> Self {
        Self { home: [0; LINES], views: [[Cell::Absent; LINES]; PROCS] }
    }

    /// The word at home.
    #[must_use]
    pub fn home(&self, line: Line) -> u8 {
        self.home[line]
    }

    /// What a load through `view` would return now.
    #[must_use]
    pub fn peek(&self, view: usize, line: Line) -> u8 {
        match self.views[view][line] {
            Cell::Absent => self.home[line],
            Cell::Clean(word) | Cell::Dirty(word) => word,
        }
    }

    /// Loads a word. `caches` says whether a miss leaves a copy behind: in the cache of a node that
    /// does not itself write the line. (Copies of a node's own lines never differ from home, and
    /// an early load serves one load.)
    pub fn load(&mut self, view: usize, line: Line, caches: bool) -> u8 {
        let word = self.peek(view, line);
        if !self.is_dirty(view, line) {
            self.views[view][line] = if caches { Cell::Clean(word) } else { Cell::Absent };
        }
        word
    }

    /// Stores a word: it is dirty until it is written back.
    pub fn store(&mut self, view: usize, line: Line, word: u8) {
        self.views[view][line] = Cell::Dirty(word);
    }

    /// Whether the view holds the line dirty.
    #[must_use]
    pub fn is_dirty(&self, view: usize, line: Line) -> bool {
        matches!(self.views[view][line], Cell::Dirty(_))
    }

    /// Moves a dirty line home; does nothing to a clean one.
    pub fn write_back(&mut self, view: usize, line: Line) {
        if let Cell::Dirty(word) = self.views[view][line] {
            self.home[line] = word;
            self.views[view][line] = Cell::Absent;
        }
    }

    /// Drops the line; a dirty one is written back first, as clflush, dcbf and dc civac do.
    pub fn invalidate(&mut self, view: usize, line: Line) {
        self.write_back(view, line);
        self.views[view][line] = Cell::Absent;
    }

    /// Whether fetching the line now would change what the view holds.
    #[must_use]
    pub fn can_fetch(&self, view: usize, line: Line) -> bool {
        !self.is_dirty(view, line) && self.views[view][line] != Cell::Clean(self.home[line])
    }

    /// A fetch nobody asked for: of an absent line, or of one that was evicted clean just before.
    pub fn fetch(&mut self, view: usize, line: Line) {
        self.views[view][line] = Cell::Clean(self.home[line]);
    }

    /// Drops the clean copies that are not in `wanted`.
    pub fn keep_only(&mut self, view: usize, wanted: LineSet) {
        for (line, cell) in self.views[view].iter_mut().enumerate() {
            if matches!(cell, Cell::Clean(_)) && wanted & (1 << line) == 0 {
                *cell = Cell::Absent;
            }
        }
    }

    /// Everything dirty goes home and everything clean is dropped: a full fence of a coherent
    /// processor, which is also what is left of it when its process has died.
    pub fn settle(&mut self, view: usize) {
        (0..LINES).for_each(|line| self.invalidate(view, line));
    }

    /// The node loses its power, and with it what its cache held.
    pub fn lose(&mut self, view: usize) {
        self.views[view] = [Cell::Absent; LINES];
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
