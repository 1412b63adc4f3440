//! How a lease comes about: DISCOVER, OFFER, REQUEST, ACK, tried again as [`Backoff`] says, until somebody stops
//! waiting.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use manifold_net::packet::PacketSocket;

use crate::backoff::Backoff;
use crate::lease::{BadReply, Holder, Lease};
use crate::message::{Client, Kind, Reply, Saying};
use crate::uptime;
use crate::wire::{self, Wire, WireError};

/// How long a server's answer to a REQUEST is waited for before it is asked once more.
const REQUEST_WAIT: Duration = Duration::from_secs(1);
/// How long somebody who uses the offered address has to say so.
const PROBE_WAIT: Duration = Duration::from_millis(150);
/// How often whoever waits looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(200);

/// The daemon's flags, as far as they are about asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub answer: Duration,
    /// Between two tries, at most.
    pub resend_most: Duration,
    /// For all tries.
    pub resend_until: Duration,
    pub broadcast: bool,
}

impl Default for Patience {
    fn default() -> Self {
        let [answer, resend_most, resend_until] = [10, 62, 208].map(Duration::from_secs);
        Self { answer, resend_most, resend_until, broadcast: false }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    #[error("no DHCP server answered within {0} s; giving up")]
    Silent(u64),
    #[error("the lease is no longer needed")]
    Stopped,
    #[error(transparent)]
    Reply(#[from] BadReply),
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// One acquisition, on an open link.
#[derive(Debug)]
pub struct Acquisition<'a> {
    pub wire: &'a Wire,
    pub holder: &'a Holder,
    pub patience: &'a Patience,
    /// The address that the pod has already.
    pub wanted: Option<Ipv4Addr>,
    pub deadline: Instant,
}

impl Acquisition<'_> {
    /// `stopped` is asked again and again while nothing comes.
    pub fn run(&self, stopped: &dyn Fn() -> bool) -> Result<Lease, AcquireError> {
        let began = Instant::now();
        let deadline = self.deadline.min(began + self.patience.resend_until);
        let client = client(self.holder, self.patience);
        let socket = self.wire.listen()?;
        let mut backoff = Backoff::new(self.patience.resend_most);
        while Instant::now() < deadline {
            let until = deadline.min(Instant::now() + backoff.next_wait());
            if let Some(ack) = self.try_once(&socket, &client, until, deadline, stopped)? {
                return Ok(Lease::new(self.holder, &ack, uptime::now())?);
            }
        }
        Err(AcquireError::Silent(began.elapsed().as_secs()))
    }

    /// One DISCOVER and what comes of it. `None`: nothing until `until`, or the server took its offer back.
    fn try_once(
        &self,
        socket: &PacketSocket,
        client: &Client,
        until: Instant,
        deadline: Instant,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Reply>, AcquireError> {
        let xid = wire::new_xid();
        let say = |saying| wire::broadcast(socket, client, xid, saying).map_err(WireError::from);
        say(Saying::Discover { wanted: self.wanted })?;
        let is_offer = |reply: &Reply| reply.kind == Kind::Offer && reply.server.is_some();
        let Some(offer) = listen(socket, client, xid, until, stopped, is_offer)? else { return Ok(None) };
        let server = offer.server.ok_or(BadReply::NoServer)?;
        let give_up = deadline.min(Instant::now() + self.patience.answer);
        while Instant::now() < give_up {
            say(Saying::Request { address: offer.address, server })?;
            let until = give_up.min(Instant::now() + REQUEST_WAIT);
            match listen(socket, client, xid, until, stopped, |reply| reply.kind != Kind::Offer)? {
                Some(reply) if reply.kind == Kind::Ack => return self.confirm(&say, reply, server),
                Some(_nak) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    /// An address that somebody uses is declined (RFC 2131, 3.1), and the server will offer another one.
    fn confirm(
        &self,
        say: &dyn Fn(Saying) -> Result<(), WireError>,
        mut ack: Reply,
        server: Ipv4Addr,
    ) -> Result<Option<Reply>, AcquireError> {
        ack.server = ack.server.or(Some(server));
        let own = self.wanted == Some(ack.address);
        if own || !self.wire.is_taken(ack.address, PROBE_WAIT)? {
            return Ok(Some(ack));
        }
        tracing::warn!(lease = %self.holder.id, address = %ack.address, "another host uses the address; it is declined");
        say(Saying::Decline { address: ack.address, server })?;
        Ok(None)
    }
}

/// The next reply that fits, with a look now and then at whether it is still wanted.
fn listen(
    socket: &PacketSocket,
    client: &Client,
    xid: u32,
    until: Instant,
    stopped: &dyn Fn() -> bool,
    wanted: impl Fn(&Reply) -> bool,
) -> Result<Option<Reply>, AcquireError> {
    loop {
        if stopped() {
            return Err(AcquireError::Stopped);
        }
        let next = until.min(Instant::now() + GLANCE);
        let reply = wire::reply(socket, client, xid, next, &wanted).map_err(WireError::from)?;
        if reply.is_some() || next == until {
            return Ok(reply);
        }
    }
}

pub(crate) fn client(holder: &Holder, patience: &Patience) -> Client {
    Client {
        mac: holder.mac,
        client_id: holder.id.client_id(),
        wishes: holder.wishes.clone(),
        broadcast: patience.broadcast,
    }
}
