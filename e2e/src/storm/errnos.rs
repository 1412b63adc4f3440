//! One system call of ADD, DEL, CHECK or GC is refused, then come two more calls: the answer is one that a runtime understands,
//! and nothing is forgotten.

use std::path::Path;

use nix::errno::Errno;

use super::bed::{How, Made};
use super::counts;
use super::figures::{Budget, Figures};
use super::kills::{Wrong, must_succeed};
use super::networks::Topology;
use super::tracer::Fault;
use super::workers::{self, Found, Stage};

/// What a disk, a kernel without memory and a full table say, and what a hardened host does.
pub const ERRNOS: [Errno; 8] = [
    Errno::EIO,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EMFILE,
    Errno::EACCES,
    Errno::EAGAIN,
    Errno::EROFS,
    Errno::EPERM,
];
/// What the executable itself says of a defect of its own.
const PANIC: &str = "panicked";
/// A panic that nobody caught.
const PANIC_EXIT: i32 = 101;
/// A runtime skips DEL after this code.
const NEVER: u64 = 3;

/// The verbs whose calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Del,
    Check,
    Gc,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "errors in ADD",
            Self::Del => "errors in DEL",
            Self::Check => "errors in CHECK",
            Self::Gc => "errors in GC",
        }
    }
}

const VERBS: [Verb; 4] = [Verb::Add, Verb::Del, Verb::Check, Verb::Gc];
/// So much later a list of what is alive is younger than any ADD.
const LONG_AFTER_SECONDS: u64 = 4000;

/// Every call with every errno, in an order that soon has been everywhere; then all of them again.
#[expect(clippy::indexing_slicing, reason = "the remainder of a division by the length")]
pub fn sweep(executable: &Path, seed: u64, threads: u64, budget: Budget) -> Figures {
    workers::play(executable, seed, threads, budget, &Topology::ALL, |stage, number, _, figures| {
        let verb = VERBS[number as usize % VERBS.len()];
        let calls = stage.calls_that_can_fail(verb)?;
        let each = ERRNOS.len() as u64;
        let turn = counts::next((stage.bed.topology().name(), verb.name()), calls * each, seed);
        let (at, errno) = (1 + turn / each, ERRNOS[(turn % each) as usize]);
        figures.count(verb.name());
        let fault = Fault::Fail { at, errno };
        round(stage, verb, fault, figures)
    })
}

/// The n-th entry of a network namespace is refused in ADD, for each n: a call that cannot return to the host must not end without
/// a word.
pub fn namespaces(executable: &Path, budget: Budget) -> Figures {
    workers::play(executable, 0, 1, budget, &[Topology::Bridges], |stage, number, _, figures| {
        figures.count("entries of namespaces that are refused");
        let fault = Fault::FailOnly { number: nix::libc::SYS_setns, at: 1 + number, errno: Errno::ENOMEM };
        round(stage, Verb::Add, fault, figures)
    })
}

fn round(stage: &mut Stage, verb: Verb, fault: Fault, figures: &mut Figures) -> Found {
    let mut what = format!("{fault:?} of {verb:?}");
    match stage.refused(verb, fault, &mut what, figures) {
        Ok(()) => {}
        Err(Wrong::Bed(error)) => return Err(error.context(what)),
        Err(Wrong::Product(said)) => return Ok(Some(format!("{what}: {said}"))),
    }
    let left = stage.differs()?;
    Ok((!left.is_empty()).then(|| format!("{what}: at the end: {}", left.join("; "))))
}

/// Whether a runtime can read the answer, and may believe it.
fn judge(made: &Made) -> Result<(), Wrong> {
    let outcome = &made.outcome;
    let wrong = |what: &str| Err(Wrong::Product(format!("{what}: {outcome}")));
    if outcome.timed_out {
        return wrong("the call hangs");
    }
    if outcome.signal.is_some() || outcome.code == Some(PANIC_EXIT) || outcome.stderr.contains(PANIC) {
        return wrong("the call crashed");
    }
    if outcome.succeeded() {
        return Ok(());
    }
    match outcome.error_code() {
        None => wrong("a failure without an error object"),
        Some(NEVER) => wrong("a code after which runtimes skip DEL"),
        Some(_) if outcome.error_text().contains(PANIC) => wrong("the call panicked"),
        Some(_) => Ok(()),
    }
}

impl Stage {
    fn refused(
        &mut self,
        verb: Verb,
        fault: Fault,
        what: &mut String,
        figures: &mut Figures,
    ) -> Result<(), Wrong> {
        let pod = self.sandbox.pod.clone();
        let mut previous = None;
        if verb != Verb::Add {
            let added = self.bed.call("ADD", &pod, None, How::PLAIN)?;
            must_succeed(&added, "ADD before")?;
            previous = added.outcome.result();
        }
        let made = self.with_fault(verb, fault, previous.clone())?;
        if let Some(hit) = made.traced.as_ref().and_then(|traced| traced.hit) {
            what.push_str(&format!(" (system call {hit})"));
        }
        judge(&made)?;
        let answer = match made.outcome.error_code() {
            _ if made.outcome.succeeded() => "answers: success".to_owned(),
            code => format!("answers: code {}", code.unwrap_or_default()),
        };
        *figures.noted.entry(answer).or_default() += 1;
        if made.outcome.succeeded() && matches!(verb, Verb::Del | Verb::Gc) {
            let mut left = self.differs()?;
            // A lock of nobody is no leak: the next call that comes by removes it, which the end of the round shows.
            left.retain(|what| !what.contains("/manifold/.locks/"));
            if !left.is_empty() {
                return Err(Wrong::Product(format!("it says success and left: {}", left.join("; "))));
            }
        }
        self.two_more(verb, &made)
    }

    fn with_fault(
        &mut self,
        verb: Verb,
        fault: Fault,
        previous: Option<serde_json::Value>,
    ) -> Result<Made, Wrong> {
        let pod = self.sandbox.pod.clone();
        Ok(match verb {
            Verb::Add => self.bed.call("ADD", &pod, None, How::with(fault))?,
            Verb::Del => self.bed.call("DEL", &pod, None, How::with(fault))?,
            Verb::Check => self.bed.call("CHECK", &pod, previous, How::with(fault))?,
            Verb::Gc => self.bed.gc(&[], How { fault, later: LONG_AFTER_SECONDS })?,
        })
    }

    /// What a runtime does next. After an ADD that failed it may try the same sandbox again, or delete it.
    fn two_more(&mut self, verb: Verb, made: &Made) -> Result<(), Wrong> {
        let pod = self.sandbox.pod.clone();
        if verb == Verb::Gc {
            let again = self.bed.gc(&[], How { fault: Fault::None, later: LONG_AFTER_SECONDS })?;
            return must_succeed(&again, "GC after it");
        }
        if verb == Verb::Add
            && !made.outcome.succeeded()
            && pod.container_id.as_bytes().first().is_some_and(|b| b % 2 == 0)
        {
            must_succeed(&self.bed.call("ADD", &pod, None, How::PLAIN)?, "ADD after it")?;
        }
        for _ in 0..2 {
            must_succeed(&self.bed.call("DEL", &pod, None, How::PLAIN)?, "DEL after it")?;
        }
        Ok(())
    }

    /// How many calls of the verb can be refused.
    fn calls_that_can_fail(&mut self, verb: Verb) -> anyhow::Result<u64> {
        let count = Fault::Fail { at: u64::MAX, errno: Errno::EIO };
        let key = (self.bed.topology().name(), verb.name());
        if let Some(known) = counts::known(&key) {
            return Ok(known);
        }
        let mut previous = None;
        let pod = self.sandbox.pod.clone();
        if verb != Verb::Add {
            previous = self.bed.call("ADD", &pod, None, How::PLAIN)?.outcome.result();
        }
        let counted = self.with_fault(verb, count, previous).and_then(|made| {
            must_succeed(&made, "the call without a fault")?;
            let calls = made.traced.as_ref().map_or(0, |traced| traced.calls);
            self.two_more(verb, &made).map(|()| calls)
        });
        match counted {
            Ok(calls) => {
                counts::learn(key, calls);
                self.renew()?;
                Ok(calls)
            }
            Err(Wrong::Bed(error)) => Err(error),
            Err(Wrong::Product(said)) => anyhow::bail!("before any error: {said}"),
        }
    }
}
