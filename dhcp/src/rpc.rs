//! How the plugin asks the daemon: one line of JSON each way over a Unix socket.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_cni::{CniError, CniResult, code};
use manifold_net::UnixConnection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::identity::LeaseId;
use crate::message::Wishes;

/// More than any request or answer has.
const LINE_BYTES: u64 = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "UPPERCASE")]
pub enum Request {
    Add(Ask),
    Check(Ask),
    Del {
        id: LeaseId,
    },
    /// Leases of this network that are not listed end.
    Gc {
        network: String,
        keep: Vec<LeaseId>,
    },
    Status,
}

/// A lease is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub id: LeaseId,
    /// Absolute.
    pub netns: PathBuf,
    /// How long the caller waits.
    pub wait_ms: u64,
    pub wishes: Wishes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Leased(CniResult),
    Done,
    Refused(CniError),
}

/// Why there is no answer to go on with.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the DHCP daemon does not answer at `{}` ({source}); start it with `manifold dhcp daemon`", socket.display())]
    NobodyListens { socket: PathBuf, source: io::Error },
    #[error("the DHCP daemon at `{}` did not answer in time", .0.display())]
    Late(PathBuf),
    #[error("the DHCP daemon at `{}` cannot be asked ({source}); check its log", socket.display())]
    Broken { socket: PathBuf, source: io::Error },
    /// Its own words.
    #[error(transparent)]
    Refused(CniError),
}

impl From<CallError> for CniError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refused) => refused,
            other => Self::new(code::TRY_AGAIN, other.to_string()),
        }
    }
}

/// Asks, and waits for the answer until the deadline.
pub fn call(socket: &Path, request: &Request, deadline: Instant) -> Result<Answer, CallError> {
    let asked = SocketAddr::from_pathname(socket).and_then(|address| {
        let mut connection = UnixConnection::open(&address, deadline)?;
        write(&mut connection, request)?;
        read(&mut connection)
    });
    match asked.map_err(|source| lost(socket.to_owned(), source))? {
        Answer::Refused(error) => Err(CallError::Refused(error)),
        answer => Ok(answer),
    }
}

fn lost(socket: PathBuf, source: io::Error) -> CallError {
    match source.kind() {
        io::ErrorKind::TimedOut => CallError::Late(socket),
        // Only connecting fails so.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
            CallError::NobodyListens { socket, source }
        }
        _ => CallError::Broken { socket, source },
    }
}

/// One message, with its line feed.
pub fn write<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// One message. Never more than its bound is read.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES)).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is cut off or too long"));
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_come_through_whole_and_cut_ones_are_refused() {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let id = LeaseId { container: "c".into(), network: "n".into(), ifname: "i".into() };
        let wishes = Wishes { parameters: vec![1, 3], provide: vec![(12, vec![0, 255])], priority: 3 };
        let request = Request::Add(Ask { id, netns: "/run/netns/x".into(), wait_ms: 5, wishes });
        write(&mut left, &request).unwrap();
        assert_eq!(read::<Request>(&mut right).unwrap(), request);
        left.write_all(br#"{"verb":"STATUS"}"#).unwrap();
        drop(left);
        assert!(read::<Request>(&mut right).is_err());
    }
}
