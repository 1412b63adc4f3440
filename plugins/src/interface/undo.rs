//! What an ADD has to take back when it fails: everything it did, in reverse order (PLG-COM-16).

use std::fmt;

use manifold_cni::CniError;

/// Called after each step of an ADD with the step's name. An error fails the ADD there, so a test can fail each one.
pub type AfterStep = fn(&'static str) -> Result<(), CniError>;

/// The [`AfterStep`] of every plugin outside of tests.
pub fn go_on(_step: &'static str) -> Result<(), CniError> {
    Ok(())
}

type Reversal<'a> = Box<dyn FnOnce() -> Result<(), CniError> + 'a>;

/// The steps done so far. Dropped before [`Undo::settle`], as by a panic, it takes them back too.
pub(crate) struct Undo<'a> {
    after_step: AfterStep,
    done: Vec<(&'static str, Reversal<'a>)>,
}

impl<'a> Undo<'a> {
    pub(crate) fn new(after_step: AfterStep) -> Self {
        Self { after_step, done: Vec::new() }
    }

    /// A step is done; `reversal` takes it back. It must succeed when there is nothing to take back any more.
    pub(crate) fn done(
        &mut self,
        step: &'static str,
        reversal: impl FnOnce() -> Result<(), CniError> + 'a,
    ) -> Result<(), CniError> {
        self.done.push((step, Box::new(reversal)));
        (self.after_step)(step)
    }

    /// As [`Self::done`], but taken back after all others, those before it too: what they made depends on it.
    pub(crate) fn done_below_all(
        &mut self,
        step: &'static str,
        reversal: impl FnOnce() -> Result<(), CniError> + 'a,
    ) -> Result<(), CniError> {
        self.done.insert(0, (step, Box::new(reversal)));
        (self.after_step)(step)
    }

    /// A step is done that leaves nothing of its own: what it changed goes with an earlier step's object.
    pub(crate) fn passed(&self, step: &'static str) -> Result<(), CniError> {
        (self.after_step)(step)
    }

    /// Keeps everything on success; on failure takes it back, and tells beside the first error what could not be.
    pub(crate) fn settle<T>(mut self, outcome: Result<T, CniError>) -> Result<T, CniError> {
        let Err(mut error) = outcome else {
            self.done.clear();
            return outcome;
        };
        for (step, failed) in self.take_back() {
            let gap = if error.details.is_empty() { "" } else { "; " };
            error.details += &format!("{gap}undoing `{step}`: {failed}");
        }
        Err(error)
    }

    fn take_back(&mut self) -> Vec<(&'static str, CniError)> {
        let steps = std::mem::take(&mut self.done).into_iter().rev();
        steps.filter_map(|(step, reversal)| reversal().err().map(|error| (step, error))).collect()
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        for (step, error) in self.take_back() {
            tracing::error!(step, %error, "a step could not be undone");
        }
    }
}

impl fmt::Debug for Undo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.done.iter().map(|(step, _)| step)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn three_steps(log: &RefCell<Vec<&'static str>>, outcome: Result<(), CniError>) -> Result<(), CniError> {
        let mut undo = Undo::new(go_on);
        for step in ["link", "lease", "rule"] {
            undo.done(step, move || {
                log.borrow_mut().push(step);
                if step == "lease" { Err(CniError::failed("the disk is full")) } else { Ok(()) }
            })?;
        }
        undo.settle(outcome)
    }

    #[test]
    fn success_takes_nothing_back() {
        let log = RefCell::default();
        three_steps(&log, Ok(())).unwrap();
        assert!(log.borrow().is_empty());
    }

    // Proves: PLG-COM-16
    #[test]
    fn failure_takes_back_in_reverse_past_errors_and_tells_them() {
        let log = RefCell::default();
        let error = three_steps(&log, Err(CniError::config("no such master"))).unwrap_err();
        assert_eq!(*log.borrow(), ["rule", "lease", "link"]);
        assert_eq!((error.code, error.msg.as_str()), (7, "no such master"));
        assert_eq!(error.details, "undoing `lease`: the disk is full");
    }

    #[test]
    fn what_all_others_depend_on_is_taken_back_last() {
        let log = RefCell::new(Vec::new());
        let noted = |step: &'static str| {
            let log = &log;
            move || {
                log.borrow_mut().push(step);
                Ok(())
            }
        };
        let mut undo = Undo::new(go_on);
        undo.done("link", noted("link")).unwrap();
        undo.done_below_all("lease", noted("lease")).unwrap();
        undo.done("rule", noted("rule")).unwrap();
        undo.settle::<()>(Err(CniError::failed("no"))).unwrap_err();
        assert_eq!(*log.borrow(), ["rule", "link", "lease"]);
    }

    #[test]
    fn a_panic_takes_back_too() {
        let log = RefCell::new(Vec::new());
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut undo = Undo::new(go_on);
            undo.done("link", || {
                log.borrow_mut().push("link");
                Ok(())
            })
            .unwrap();
            panic!("a bug");
        }));
        assert!(caught.is_err());
        assert_eq!(*log.borrow(), ["link"]);
    }
}
