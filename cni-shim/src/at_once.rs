//! Several things at the same time where the node gives threads, and one after the other where it does not (TasksMax, a pids
//! cgroup, `ulimit -u`): to take networks down needs no thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::Builder;

use manifold_cni::{CniError, code};

/// `work` on each, a thread for each of several. Answers in the order of `items`.
pub(crate) fn each<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> T + Sync,
    panicked: impl Fn(CniError) -> T,
) -> Vec<T> {
    each_by(Builder::new, items, work, panicked)
}

fn each_by<I: Sync, T: Send>(
    builder: impl Fn() -> Builder,
    items: &[I],
    work: impl Fn(&I) -> T + Sync,
    panicked: impl Fn(CniError) -> T,
) -> Vec<T> {
    let one = |item: &I| caught(|| Ok(work(item)));
    let parallel = if items.len() > 1 { on_threads(builder, items, &one) } else { None };
    let done = parallel.unwrap_or_else(|| items.iter().map(one).collect());
    done.into_iter().map(|done| done.unwrap_or_else(&panicked)).collect()
}

/// `None`: there was not a thread for each, and nothing was begun.
fn on_threads<I: Sync, T: Send>(
    builder: impl Fn() -> Builder,
    items: &[I],
    work: &(impl Fn(&I) -> Result<T, CniError> + Sync),
) -> Option<Vec<Result<T, CniError>>> {
    std::thread::scope(|scope| {
        let mut ready = Vec::with_capacity(items.len());
        for item in items {
            let (begin, begun) = mpsc::channel::<()>();
            // Without the word to begin, because the next one could not be had, it ends.
            let wait = move || begun.recv().ok().map(|()| work(item));
            match builder().spawn_scoped(scope, wait) {
                Ok(thread) => ready.push((begin, thread)),
                Err(e) => {
                    tracing::warn!("the node has no more threads, so one thread does all the work: {e}");
                    return None;
                }
            }
        }
        for (begin, _) in &ready {
            // It waits for just this.
            let _ = begin.send(());
        }
        ready.into_iter().map(|(_, thread)| thread.join().ok().flatten()).collect()
    })
}

/// A panic becomes an error, so that who called can undo what was done and answer.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, CniError>) -> Result<T, CniError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().copied();
        let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let words = manifold_cni::name::one_line(words.unwrap_or("no message"));
        Err(CniError::new(code::PANICKED, format!("Manifold panicked: {words}"))
            .details("this is a bug in Manifold; report it with the pod's annotations and its networks"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::{ThreadId, current};

    use super::*;

    fn threads(builder: impl Fn() -> Builder, items: &[u32]) -> Vec<(u32, ThreadId)> {
        each_by(builder, items, |n| (*n, current().id()), |error| panic!("{error}"))
    }

    // Proves: F-RUN-11
    #[test]
    fn where_not_all_threads_can_be_had_one_does_everything_and_nothing_twice() {
        // No address space has room for such a stack, so the third thread is refused as by a full pids cgroup.
        let asked = AtomicUsize::new(0);
        let builder = || match asked.fetch_add(1, Ordering::Relaxed) {
            2 => Builder::new().stack_size(1 << 60),
            _ => Builder::new(),
        };
        let done = threads(builder, &[1, 2, 3, 4]);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert_eq!(done, [1, 2, 3, 4].map(|n| (n, current().id())));
        let apart = threads(Builder::new, &[1, 2]);
        assert!(apart.iter().all(|(_, thread)| *thread != current().id()) && apart[0].1 != apart[1].1);
        assert_eq!(threads(Builder::new, &[7]), [(7, current().id())]);
    }

    #[test]
    fn a_panic_is_the_error_of_one_and_the_others_go_on() {
        let work = |n: &u32| if *n == 2 { panic!("two\nis bad") } else { Ok(*n) };
        for items in [&[1, 2, 3][..], &[2]] {
            let done = each(items, work, Err::<u32, CniError>);
            let errors: Vec<_> = done.into_iter().filter_map(Result::err).collect();
            let [error] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(error.code, code::PANICKED);
            assert!(error.msg.contains("two\\u{a}is bad"), "{error}");
        }
    }
}
