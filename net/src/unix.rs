//! A connection to a socket of the host, all of which ends at one deadline: connecting, every write and every read
//! together.
//!
//! A time-out for each step alone bounds nothing: a full queue holds up `connect` for ever, and whoever sends a byte now
//! and then begins the time anew with each.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

/// The connection. After the deadline, whatever is asked of it fails with [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub struct UnixConnection {
    stream: UnixStream,
    deadline: Instant,
}

impl UnixConnection {
    /// Connects to whoever listens there.
    ///
    /// # Errors
    /// If nobody listens, or takes the connection before the deadline.
    pub fn open(address: &SocketAddr, deadline: Instant) -> io::Result<Self> {
        let address = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => UnixAddr::new(path)?,
            (None, Some(name)) => UnixAddr::new_abstract(name)?,
            (None, None) => return Err(io::Error::other("a socket without a name cannot be reached")),
        };
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        loop {
            // The kernel waits no longer for a place in the queue than it would to send.
            setsockopt(&socket, sockopt::SendTimeout, &time(left(deadline)?))?;
            match connect(socket.as_raw_fd(), &address) {
                Ok(()) => return Ok(Self { stream: socket.into(), deadline }),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// A connection that was taken, as a server has it.
    pub fn taken(stream: UnixStream, deadline: Instant) -> Self {
        Self { stream, deadline }
    }

    /// The next exchange has a time of its own.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl AsFd for UnixConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for UnixConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer).map_err(late)
    }
}

impl Write for UnixConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Never zero, which would mean without end.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // The kernel counts microseconds.
    if left < Duration::from_micros(1) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn time(duration: Duration) -> TimeVal {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    TimeVal::new(seconds, duration.subsec_micros().into())
}

fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Longer than a busy machine delays anything.
    const PATIENCE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    fn address(path: &std::path::Path) -> SocketAddr {
        SocketAddr::from_pathname(path).unwrap()
    }

    /// The deadline is what ends it, and not one of a later step.
    #[track_caller]
    fn ends_at(deadline: Instant, what: impl FnOnce() -> io::Error) {
        assert_eq!(what().kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
    }

    // Shows part of: F-PLG-8
    #[test]
    fn a_full_queue_ends_at_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut queue = Vec::new();
        loop {
            let deadline = Instant::now() + SHORT;
            match UnixConnection::open(&address(&path), deadline) {
                Ok(waiting) => queue.push(waiting),
                Err(error) => return ends_at(deadline, || error),
            }
        }
    }

    // Shows part of: F-PLG-8
    #[test]
    fn a_byte_now_and_then_does_not_begin_the_time_anew() {
        let (own, mut other) = UnixStream::pair().unwrap();
        let dripping = thread::spawn(move || {
            let end = Instant::now() + PATIENCE;
            while other.write_all(b" ").is_ok() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let deadline = Instant::now() + 4 * SHORT;
        let mut connection = UnixConnection::taken(own, deadline);
        ends_at(deadline, || connection.read_exact(&mut [0; 1 << 20]).unwrap_err());
        drop(connection);
        dripping.join().unwrap();
    }

    // Shows part of: F-PLG-8
    #[test]
    fn a_peer_that_does_not_read_holds_up_no_write_beyond_the_deadline() {
        let (own, _other) = UnixStream::pair().unwrap();
        let deadline = Instant::now() + SHORT;
        let mut connection = UnixConnection::taken(own, deadline);
        ends_at(deadline, || connection.write_all(&vec![0; 16 << 20]).unwrap_err());
    }

    #[test]
    fn nobody_there_is_told_at_once_and_by_its_own_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let open = || UnixConnection::open(&address(&path), Instant::now() + PATIENCE).unwrap_err().kind();
        assert_eq!(open(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(open(), io::ErrorKind::ConnectionRefused);
    }
}
