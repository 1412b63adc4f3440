//! Nothing that a handler does takes the others down, and nothing it does takes longer than anybody waits.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("there was no answer in time")]
    Late,
    #[error("the handler ended unexpectedly")]
    Panicked,
}

/// What `handler` answers within `time`. It runs in a task of its own, which ends with this future: who hangs up leaves
/// no work behind.
pub(super) async fn answered<T: Send + 'static>(
    time: Duration,
    handler: impl Future<Output = T> + Send + 'static,
) -> Result<T, NoAnswer> {
    let mut task = JoinSet::new();
    task.spawn(handler);
    match timeout(time, task.join_next()).await {
        Err(_) => Err(NoAnswer::Late),
        Ok(Some(Ok(answer))) => Ok(answer),
        Ok(Some(Err(_)) | None) => Err(NoAnswer::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    // Proves: S-8
    #[test]
    fn a_handler_that_panics_is_no_answer_and_nothing_more() {
        let panics = answered::<()>(Duration::from_secs(60), async { panic!("a test's own panic") });
        assert_eq!(run(panics), Err(NoAnswer::Panicked));
        assert_eq!(run(answered(Duration::from_secs(60), async { 7 })), Ok(7));
    }

    #[test]
    fn a_handler_that_hangs_is_ended() {
        struct Ended(Arc<AtomicBool>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let ended = Arc::new(AtomicBool::new(false));
        let mark = Ended(Arc::clone(&ended));
        let hangs = async move {
            let _mark = mark;
            std::future::pending::<()>().await;
        };
        assert_eq!(run(answered(Duration::from_millis(10), hangs)), Err(NoAnswer::Late));
        assert!(ended.load(Ordering::SeqCst));
    }
}
