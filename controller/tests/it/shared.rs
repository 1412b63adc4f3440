//! What tests of several folders share: the one API server of this process, for one test at a time, waiting for a
//! condition, and strangers at a port.
//!
//! A leader of the use of networks writes to every definition of its server. Two of them would do each other's work, and whoever
//! stores a status of its own would find another.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;

/// Nobody else leads there, or stores statuses, until the second is dropped: it is to be the first that is declared.
pub(crate) fn alone() -> (&'static ApiServer, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (ApiServer::shared().unwrap(), turn)
}

/// A condition that is not met by then never will be, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for a condition, and tells what was never met.
#[track_caller]
pub(crate) fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the chart lets a liveness probe wait for, and how many may fail before the kubelet restarts the container.
const PROBE: Duration = Duration::from_secs(5);
const PROBES: usize = 6;

/// Connections to this port of loopback that begin a request and never end it, many times more than any server has places. As many
/// as get in: a server that lets nobody in any more is asked no further.
pub(crate) fn half_open(port: u16) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = connect(port).ok()?;
        // One that is sent away already has done its part.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nX:");
        Some(stream)
    };
    (0..400).map_while(one).collect()
}

/// Whether the kubelet lets the container live.
pub(crate) fn is_alive(port: u16) -> bool {
    let probe = || -> io::Result<String> {
        let mut stream = connect(port)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    (0..PROBES).any(|_| probe().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")))
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), PROBE)?;
    stream.set_read_timeout(Some(PROBE))?;
    Ok(stream)
}
