//! What was done, so that it can be undone in reverse.

use crate::error::{Error, Result};

type Step<S> = fn(&mut S) -> Result<()>;

/// The undoing of each step that succeeded, last first.
pub(super) struct Undo<S>(Vec<(&'static str, Step<S>)>);

impl<S> Undo<S> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// A step succeeded; `step` undoes it, which is `what`.
    pub(super) fn push(&mut self, what: &'static str, step: Step<S>) {
        self.0.push((what, step));
    }

    /// Undoes everything, whatever fails on the way.
    ///
    /// # Errors
    /// The first failure, and how many more there were; all are logged.
    pub(super) fn run(&mut self, state: &mut S) -> Result<()> {
        let mut failures = Vec::new();
        while let Some((what, step)) = self.0.pop() {
            if let Err(e) = step(state) {
                log::warn!("{what}: {e}");
                failures.push(e.context(what));
            }
        }
        let more = failures.len().saturating_sub(1);
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) if more == 0 => Err(first),
            Some(first) => {
                Err(first.hint(format_args!("{more} more step(s) of taking the link down failed")))
            }
        }
    }

    /// Undoes everything because of `error`, and says so where that fails too.
    pub(super) fn because_of(&mut self, error: Error, state: &mut S) -> Error {
        match self.run(state) {
            Ok(()) => error,
            Err(e) => error.hint(format_args!("what was done until then could not be undone: {e}")),
        }
    }

    /// Whether there is nothing to undo.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn everything_is_undone_in_reverse_whatever_fails() {
        let mut undo: Undo<Vec<u8>> = Undo::new();
        undo.push("first", |log| {
            log.push(1);
            Ok(())
        });
        for what in ["second", "third"] {
            undo.push(what, |log| {
                log.push(2);
                Err(Error::new(ErrorKind::System, "no"))
            });
        }
        let mut log = Vec::new();
        let error = undo.run(&mut log).unwrap_err();
        assert_eq!(log, [2, 2, 1]);
        assert!(error.message().starts_with("third: no; 1 more step(s)"), "{error}");
        assert!(undo.is_empty() && undo.run(&mut log).is_ok());
        assert_eq!(log, [2, 2, 1]);
    }
}
