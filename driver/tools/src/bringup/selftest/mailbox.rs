//! How the ends talk: lines in the first 64 KiB of the window, each with one writer, and every access complete.
//!
//! Whatever the link turns out to need, the mailbox does it all: written back, fenced and drained by the writer,
//! invalidated and fenced before each look by the reader. A record is one word that commits and a checksum, in
//! 64 bytes; two slots take turns, so that an end that is one exchange ahead overwrites nothing that was not read.

use std::ops::Range;

use csm::{Error, ErrorKind};
use serde_json::Value;

use super::link::Link;
use super::memory::{Cells, LINE, Memory, WORD, mix};
use crate::failure::{Done, Failure};

/// What the ends talk through: an area for each.
pub(super) const CONTROL_BYTES: u64 = 2 * AREA_BYTES;
/// What one end writes of it.
pub(super) const AREA_BYTES: u64 = 32 << 10;
/// In an area: the greeting, the sign of life (a count, and the run that was given up), two records, a letter.
pub(super) const GREETING_OFF: u64 = 0;
const BEAT_OFF: u64 = LINE;
const RECORDS_OFF: u64 = 2 * LINE;
const LETTER_OFF: u64 = 4096;
const LETTER_BYTES: u64 = AREA_BYTES - LETTER_OFF;
/// Words of a record: the one that commits, the run, what is told, the checksum.
pub(super) const RECORD_WORDS: usize = 8;

/// Where an end's area begins.
pub(super) fn area(node: u64) -> u64 {
    node * AREA_BYTES
}

/// A record's first words, closed by their checksum.
pub(super) fn sealed(mut record: [u64; RECORD_WORDS]) -> [u64; RECORD_WORDS] {
    record[RECORD_WORDS - 1] = checksum(&record[..RECORD_WORDS - 1]);
    record
}

fn checksum(words: &[u64]) -> u64 {
    words.iter().fold(1, |sum, word| mix(sum, *word))
}

/// Writes a record, home; its first word last.
pub(super) fn write(memory: &Memory, off: u64, record: [u64; RECORD_WORDS]) {
    let offs: Vec<u64> = (off..).step_by(8).take(RECORD_WORDS).collect();
    for (off, value) in offs.iter().zip(record).rev() {
        memory.store(*off, value);
    }
    memory.release(off..off + LINE);
}

/// A record as it is at home; None when it is none, or not whole yet.
pub(super) fn read(memory: &Memory, off: u64) -> Option<[u64; RECORD_WORDS]> {
    memory.acquire(off..off + LINE);
    read_loaded(memory, off)
}

/// A record of a line that was acquired.
pub(super) fn read_loaded(memory: &Memory, off: u64) -> Option<[u64; RECORD_WORDS]> {
    let mut record = [0; RECORD_WORDS];
    for (word, value) in (0_u64..).zip(&mut record) {
        *value = memory.load(off + word * WORD);
    }
    (record[0] != 0 && sealed(record) == record).then_some(record)
}

impl Link<'_> {
    /// Tells four words and hears the other end's: both have come to this point.
    pub(super) fn exchange(&mut self, what: &str, words: [u64; 4]) -> Done<[u64; 4]> {
        self.tell(words);
        self.hear(what)
    }

    /// Tells, without waiting.
    pub(super) fn tell(&mut self, words: [u64; 4]) {
        self.sequence += 1;
        let [a, b, c, d] = words;
        let record = sealed([self.sequence, self.id, a, b, c, d, 0, 0]);
        write(&self.memory, area(self.node) + record_off(self.sequence), record);
    }

    /// Waits for what the other end tells with the same number.
    pub(super) fn hear(&mut self, what: &str) -> Done<[u64; 4]> {
        let (sequence, id) = (self.sequence, self.id);
        let off = area(self.other()) + record_off(sequence);
        self.poll(what, |memory| {
            let record = read(memory, off).filter(|record| (record[0], record[1]) == (sequence, id));
            Ok(record.map(|record| [record[2], record[3], record[4], record[5]]))
        })
    }

    /// Tells the other end everything that this one found, and hears its findings: node 0's first.
    pub(super) fn swap(&mut self, what: &str, value: &Value) -> Done<[Value; 2]> {
        let text = value.to_string();
        let bytes = text.len() as u64;
        if bytes > LETTER_BYTES {
            let text = format!("{what}: {bytes} bytes of findings do not fit into {LETTER_BYTES}");
            return Err(Error::new(ErrorKind::Internal, text).into());
        }
        let packed: Vec<u64> = text
            .as_bytes()
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
        let letter = area(self.node) + LETTER_OFF;
        for (off, word) in (letter..).step_by(8).zip(&packed) {
            self.memory.store(off, *word);
        }
        self.memory.release(letter..letter + LETTER_BYTES);
        let [bytes, sum, ..] = self.exchange(what, [bytes, checksum(&packed), 0, 0])?;
        let theirs = self.read_letter(bytes, sum);
        // Both have read before one of them writes again.
        self.exchange(what, [0; 4])?;
        let theirs = theirs.ok_or_else(|| {
            let text = format!(
                "{what}: what node {} wrote about it arrived damaged, written back, drained and invalidated as it was: \
                 the link changes data",
                self.other()
            );
            Failure::finding(text)
        })?;
        Ok(if self.node == 0 { [value.clone(), theirs] } else { [theirs, value.clone()] })
    }

    fn read_letter(&self, bytes: u64, sum: u64) -> Option<Value> {
        let letter = area(self.other()) + LETTER_OFF;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= LETTER_BYTES)?;
        self.memory.acquire(letter..letter + LETTER_BYTES);
        let words: Vec<u64> =
            (letter..).step_by(8).take(bytes.div_ceil(8)).map(|off| self.memory.load(off)).collect();
        let text: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(bytes).collect();
        if checksum(&words) == sum { serde_json::from_slice(&text).ok() } else { None }
    }

    /// A sign of life.
    pub(super) fn beat(&mut self) {
        self.beats += 1;
        let off = area(self.node) + BEAT_OFF;
        self.memory.store(off, self.beats);
        self.memory.release(off..off + LINE);
    }

    /// The other end's sign of life, while waiting for `what`.
    ///
    /// # Errors
    /// When it has given up, or its process has ended.
    pub(super) fn other_beat(&mut self, what: &str) -> Done<u64> {
        let off = area(self.other()) + BEAT_OFF;
        self.memory.acquire(off..off + LINE);
        let (beat, given_up) = (self.memory.load(off), self.memory.load(off + WORD));
        let is_over = self.id != 0 && given_up == self.id;
        match self.partner.take() {
            // It has told that it ends, and its last words say why.
            Some(partner) if is_over => partner.join(self.run, self.timeout)?,
            Some(mut partner) => {
                partner.check()?;
                self.partner = Some(partner);
            }
            None => {}
        }
        if is_over {
            let text =
                format!("node {} gave up (this end waited for {what}); its message says why", self.other());
            return Err(Error::new(ErrorKind::Closed, text).into());
        }
        Ok(beat)
    }

    /// Tells the other end that this one goes, whatever the other one waits for.
    fn give_up(&self) {
        let off = area(self.node) + BEAT_OFF;
        self.memory.store(off + WORD, self.id);
        self.memory.release(off..off + LINE);
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.id == 0 {
            // Nobody listens: leave nothing that looks like an end of a link.
            if self.node == 0 {
                self.clear_beacons();
            }
            self.wipe(own(self.node));
        } else {
            // The greeting stays: the next test knows by it whose leavings these are.
            self.give_up();
        }
    }
}

fn own(node: u64) -> Range<u64> {
    area(node)..area(node) + AREA_BYTES
}

fn record_off(sequence: u64) -> u64 {
    RECORDS_OFF + sequence % 2 * LINE
}
