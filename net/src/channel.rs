//! One netlink socket: a request goes out, its answers come back.
//!
//! It blocks, because the kernel answers a request while it is being sent; the receive timeout only guards against a
//! kernel that lost an answer. What belongs to another request (of another number) is passed over.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NlasIterator, Parseable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::{NetError, Why};

/// The kernel fills at most 32 KiB per datagram of a listing; a single link with many virtual functions may need more.
const BUFFER: usize = 64 * 1024;
const SILENCE: u64 = 10;
/// How often a listing that changed half way is read again.
const DUMP_ATTEMPTS: usize = 32;

/// Numbers differ across all sockets of the process: two sockets in two namespaces may have one port number, and the
/// kernel may report the work of one to the other.
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

pub(crate) struct Channel {
    inner: Mutex<Inner>,
}

struct Inner {
    socket: Socket,
    buffer: Vec<u8>,
}

/// What came of one round of a request.
#[derive(Default)]
struct Round {
    answers: Vec<RouteNetlinkMessage>,
    undecoded: Option<String>,
    interrupted: bool,
    finished: bool,
}

impl Channel {
    /// A socket bound to the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        // Kernels before 4.12 do not explain themselves, those before 4.20 do not check; neither is needed to work.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(SILENCE as i64))?;
        Ok(Self { inner: Mutex::new(Inner { socket, buffer: Vec::with_capacity(BUFFER) }) })
    }

    /// Does something with the socket itself.
    pub(crate) fn with_socket<T>(&self, work: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        work(inner.socket.as_fd())
    }

    /// A request that the kernel acknowledges; the answers that came before the acknowledgement.
    pub(crate) fn request(
        &self,
        what: impl Fn() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetError> {
        let round = self
            .round(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .map_err(|why| NetError::new(what(), why))?;
        match round.undecoded {
            // One object was asked for; that it cannot be read must not look as if it were not there.
            Some(text) if round.answers.is_empty() => Err(NetError::new(what(), Why::Answer(text))),
            _ => Ok(round.answers),
        }
    }

    /// A listing, read again when it changed while it was being read.
    pub(crate) fn dump(
        &self,
        what: impl Fn() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetError> {
        let read = settled(|| self.round(message.clone(), NLM_F_REQUEST | NLM_F_DUMP));
        let round = read.map_err(|why| NetError::new(what(), why))?;
        if let Some(text) = round.undecoded {
            // Someone else's exotic object must not keep us from ours.
            tracing::warn!(listing = what(), reason = text, "skipped an object that cannot be read");
        }
        Ok(round.answers)
    }

    fn round(&self, message: RouteNetlinkMessage, flags: u16) -> Result<Round, Why> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        inner.send(message, flags, sequence)?;
        let mut round = Round::default();
        let deadline = Instant::now() + Duration::from_secs(SILENCE);
        while !round.finished {
            inner.receive()?;
            round.read(&inner.buffer, sequence)?;
            if !round.finished && Instant::now() > deadline {
                return Err(Why::Silent(SILENCE));
            }
        }
        Ok(round)
    }
}

/// The first reading during which nothing changed.
fn settled(mut read: impl FnMut() -> Result<Round, Why>) -> Result<Round, Why> {
    for _ in 0..DUMP_ATTEMPTS {
        let round = read()?;
        if !round.interrupted {
            return Ok(round);
        }
    }
    Err(Why::Interrupted)
}

impl Inner {
    fn send(&mut self, message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Result<(), Why> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = sequence;
        let mut packet = NetlinkMessage::new(header, message.into());
        packet.finalize();
        self.buffer.clear();
        self.buffer.resize(packet.buffer_len(), 0);
        packet.serialize(&mut self.buffer);
        self.socket.send(&self.buffer, 0).map_err(Why::Socket)?;
        Ok(())
    }

    /// One datagram, whole, in the buffer.
    fn receive(&mut self) -> Result<(), Why> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(BUFFER);
            match self.socket.recv(&mut self.buffer, MsgFlags::MSG_TRUNC.bits()) {
                Ok(length) if length > self.buffer.len() => {
                    return Err(Why::Answer(format!("a message of {length} bytes")));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Why::Silent(SILENCE)),
                Err(error) => return Err(Why::Socket(error)),
            }
        }
    }
}

impl Round {
    /// Takes what is ours from one datagram.
    fn read(&mut self, datagram: &[u8], sequence: u32) -> Result<(), Why> {
        for message in Messages(datagram) {
            let (header, payload) = message?;
            if header.sequence_number != sequence {
                continue;
            }
            self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            match header.message_type {
                NLMSG_NOOP | NLMSG_OVERRUN => {}
                NLMSG_DONE | NLMSG_ERROR => {
                    self.finished = true;
                    return verdict(&header, payload);
                }
                _ => match RouteNetlinkMessage::deserialize(&header, payload) {
                    Ok(answer) => self.answers.push(answer),
                    Err(error) => self.undecoded = Some(error.to_string()),
                },
            }
        }
        Ok(())
    }
}

/// The messages of one datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<(NetlinkHeader, &'a [u8]), Why>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let parsed = NetlinkBuffer::new_checked(bytes).and_then(|buffer| NetlinkHeader::parse(&buffer));
        let header = match parsed {
            Ok(header) => header,
            Err(error) => return Some(Err(Why::Answer(error.to_string()))),
        };
        let length = header.length as usize;
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((header, bytes.get(16..length).unwrap_or_default())))
    }
}

/// What an acknowledgement, or the end of a listing, says: zero, or a refusal with an explanation.
fn verdict(header: &NetlinkHeader, payload: &[u8]) -> Result<(), Why> {
    let Some((code, rest)) = payload.split_first_chunk::<4>() else { return Ok(()) };
    let code = i32::from_ne_bytes(*code);
    if code >= 0 {
        return Ok(());
    }
    // An error repeats the request's header, and all of the request unless capped; a listing's end repeats nothing.
    let skip = match header.message_type {
        NLMSG_DONE => 0,
        _ if header.flags & NLM_F_CAPPED != 0 => 16,
        _ => rest.first_chunk::<4>().map_or(0, |length| u32::from_ne_bytes(*length) as usize),
    };
    let told = header.flags & NLM_F_ACK_TLVS != 0;
    let said = if told { rest.get(skip..).and_then(explanation) } else { None };
    Err(Why::Refused { errno: Errno::from_raw(code.wrapping_neg()), said })
}

/// The text among the attributes of an extended acknowledgement.
fn explanation(attributes: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let found =
        NlasIterator::new(attributes).filter_map(Result::ok).find(|a| a.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(found.value());
    let text = text.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
