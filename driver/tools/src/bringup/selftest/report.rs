//! What a step found, for people and as JSON.

use csm::Result;
use csm_tools::output::Output;
use serde_json::{Value, json};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it must be.
    Pass,
    /// Nothing is wrong, but something is to be known.
    Note,
    /// The link or the memory is not as it must be, or as the device says.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Note => "note",
            Self::Fail => "FAIL",
        }
    }
}

/// One step's outcome.
pub(super) struct Step {
    /// What was tested.
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// The sentences about it; the first one is the summary.
    pub(super) lines: Vec<String>,
    /// The figures.
    pub(super) details: Value,
}

impl Step {
    /// A step that found nothing yet.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, verdict: Verdict::Pass, lines: Vec::new(), details: json!({}) }
    }

    /// Adds a sentence; the worst verdict stays.
    pub(super) fn add(&mut self, verdict: Verdict, line: impl Into<String>) {
        let worse = |a, b| matches!((a, b), (Verdict::Pass, _) | (Verdict::Note, Verdict::Fail));
        if worse(self.verdict, verdict) {
            self.verdict = verdict;
        }
        self.lines.push(line.into());
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "verdict": self.verdict.word().to_lowercase(),
            "lines": self.lines,
            "details": self.details,
        })
    }

    pub(super) fn print(&self, out: &mut Output) -> Result<()> {
        let mut name = self.name;
        let mut word = self.verdict.word();
        for line in &self.lines {
            out.line(format_args!("{word:<4}  {name:<12}  {line}"))?;
            (word, name) = ("", "");
        }
        Ok(())
    }
}
