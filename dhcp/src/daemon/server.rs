//! Takes requests: a thread each, no more than so many at once, from root alone.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use manifold_cni::{CniError, IfName, code};
use manifold_net::UnixConnection;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{getsockopt, sockopt};

use super::flags::behind;
use crate::registry::Registry;
use crate::rpc::{self, Answer, Ask, Request};

/// A storm of pods waits in the socket's queue, not in memory.
const AT_ONCE: usize = 256;
/// How long a caller may take to say what it wants, and to hear the answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn serve(
    listener: &UnixListener,
    signals: &SignalFd,
    registry: &Arc<Registry>,
    host_prefix: Option<&Path>,
) -> anyhow::Result<()> {
    // Between a readable socket and `accept` the caller may be gone.
    listener.set_nonblocking(true).context("the socket cannot be used")?;
    let busy = Arc::new(AtomicUsize::new(0));
    let prefix: Option<Arc<Path>> = host_prefix.map(Arc::from);
    loop {
        let mut waiting = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e).context("cannot wait for requests"),
        }
        if waiting.last().is_some_and(|fd| fd.any() == Some(true)) {
            return Ok(());
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => {
                continue;
            }
            Err(e) => {
                // Out of descriptors, most likely: the caller is told by its own deadline.
                tracing::warn!("a caller cannot be taken: {e}");
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        answer(stream, Arc::clone(registry), prefix.clone(), Arc::clone(&busy));
    }
}

fn answer(stream: UnixStream, registry: Arc<Registry>, prefix: Option<Arc<Path>>, busy: Arc<AtomicUsize>) {
    let turn = Turn::take(busy);
    let full = turn.is_none();
    let started = thread::Builder::new().name("request".into()).spawn(move || {
        let told = || -> io::Result<()> {
            stream.set_nonblocking(false)?;
            let mut caller = UnixConnection::taken(stream, Instant::now() + PATIENCE);
            let answer = match full {
                true => Answer::Refused(CniError::new(code::TRY_AGAIN, "the DHCP daemon is busy; try again")),
                false => of_root(&caller).and_then(|()| rpc::read(&mut caller)).map(|request| {
                    serve_one(&registry, request, prefix.as_deref()).unwrap_or_else(Answer::Refused)
                })?,
            };
            caller.set_deadline(Instant::now() + PATIENCE);
            rpc::write(&mut caller, &answer)
        }();
        if let Err(e) = told {
            tracing::warn!("a caller was not served: {e}");
        }
        drop(turn);
    });
    if let Err(e) = started {
        tracing::warn!("a caller was not served, there is no thread for it: {e}");
    }
}

/// One of the places.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn take(busy: Arc<AtomicUsize>) -> Option<Self> {
        let turn = Self(busy);
        (turn.0.fetch_add(1, Ordering::Relaxed) < AT_ONCE).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The socket's mode says so too, and a socket that systemd made may have another one (S-14).
fn of_root(caller: &UnixConnection) -> io::Result<()> {
    let uid = getsockopt(caller, sockopt::PeerCredentials)?.uid();
    match uid {
        0 => Ok(()),
        uid => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the caller is user {uid}, not root"),
        )),
    }
}

fn serve_one(registry: &Arc<Registry>, request: Request, prefix: Option<&Path>) -> Result<Answer, CniError> {
    match request {
        Request::Add(ask) | Request::Check(ask) => {
            check(&ask)?;
            let netns = behind(prefix, &ask.netns);
            registry.lease(&ask, netns).map(Answer::Leased)
        }
        Request::Del { id } => {
            registry.end(&id);
            Ok(Answer::Done)
        }
        Request::Gc { network, keep } => {
            registry.keep_only(&network, &keep);
            Ok(Answer::Done)
        }
        Request::Status => Ok(Answer::Done),
    }
}

/// The other half is ours, and checked all the same: these strings reach the file system and the kernel.
fn check(ask: &Ask) -> Result<(), CniError> {
    let bad = |what: String| Err(CniError::new(code::INVALID_ENVIRONMENT, what));
    if !ask.netns.is_absolute() {
        return bad(format!("the network namespace's path `{}` is not absolute", ask.netns.display()));
    }
    match ask.id.ifname.parse::<IfName>() {
        Ok(_) => Ok(()),
        Err(e) => bad(e.to_string()),
    }
}
