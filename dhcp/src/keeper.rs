//! Keeps one lease: renews it at T1, binds it anew at T2, takes the link down when it has ended (PLG-DHCP-8).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::acquire::{self, AcquireError, Acquisition, Patience};
use crate::identity::LeaseId;
use crate::lease::{Holder, Lease};
use crate::message::{Kind, Reply, Saying};
use crate::uptime;
use crate::wire::{Wire, WireError};

/// A server that names a time of zero, or leases for seconds, does not make us ask without a pause.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries to renew are no closer together than this, and no farther apart (RFC 2131, 4.4.5).
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);

/// A lease and whoever waits for it.
#[derive(Debug)]
pub struct Kept {
    pub id: LeaseId,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while it is being asked for.
    lease: Option<Lease>,
    stopped: bool,
}

/// What an attempt to keep it came to.
#[derive(Debug)]
pub enum Turn {
    Renewed(Box<Lease>),
    /// Not this time.
    Later(String),
    /// The pod, or its link, is gone.
    Gone,
}

impl Kept {
    pub fn asked_for(id: LeaseId) -> Self {
        Self { id, state: Mutex::default(), changed: Condvar::new() }
    }

    pub fn lease(&self) -> Option<Lease> {
        self.lock().lease.clone()
    }

    /// Sets what is held; false when nobody wants it any more.
    pub fn hold(&self, lease: Lease) -> bool {
        let mut state = self.lock();
        state.lease = Some(lease);
        !state.stopped
    }

    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits; false when it was stopped meanwhile.
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until a lease that was just taken, or could not be renewed just now, has its next turn.
pub fn until_next(lease: &Lease, failed: bool, now: Duration) -> Duration {
    let to_renew = lease.left(lease.renew, now);
    if !failed || !to_renew.is_zero() {
        return to_renew.max(PAUSE);
    }
    let to_rebind = lease.left(lease.rebind, now);
    let end = if to_rebind.is_zero() { lease.left(lease.life, now) } else { to_rebind };
    // Half of what is left, as the standard has it, and not beyond it.
    (end / 2).clamp(LEAST, MOST).min(end.max(LEAST))
}

/// One turn: asks the server that gave it, or after T2 everybody.
pub fn attempt(lease: &Lease, patience: &Patience, stopped: &dyn Fn() -> bool) -> Turn {
    let wire = match Wire::open(&lease.netns, &lease.id.ifname, Some(lease.netns_id())) {
        Ok(wire) => wire,
        Err(e) if e.is_gone() => return Turn::Gone,
        Err(e) => return Turn::Later(e.to_string()),
    };
    let holder = holder(lease, &wire);
    let now = uptime::now();
    let renewed = match lease.left(lease.rebind, now).is_zero() {
        false => renew(lease, &holder, &wire, patience),
        true => rebind(lease, &holder, &wire, patience, stopped),
    };
    match renewed {
        Ok(Some(new)) if new.address == lease.address => Turn::Renewed(Box::new(new)),
        Ok(Some(other)) => {
            // The pod has the old address, and nobody may change it under the pod.
            release(&other, patience);
            Turn::Later(format!("the server offers `{}` instead of `{}`", other.address, lease.address))
        }
        Ok(None) => Turn::Later("no server answered".into()),
        Err(e) => Turn::Later(e.to_string()),
    }
}

fn renew(
    lease: &Lease,
    holder: &Holder,
    wire: &Wire,
    patience: &Patience,
) -> Result<Option<Lease>, AcquireError> {
    let saying = Saying::Renew { address: lease.address.addr() };
    let wait = patience.answer.min(lease.left(lease.rebind, uptime::now())).max(LEAST);
    let client = acquire::client(holder, patience);
    let ends = (lease.address.addr(), lease.server);
    let reply = wire.tell_server(&client, saying, ends, Some(Instant::now() + wait))?;
    match reply {
        Some(ack) if ack.kind == Kind::Ack => {
            Ok(Some(Lease::new(holder, &whole(ack, lease), uptime::now())?))
        }
        _ => Ok(None),
    }
}

fn rebind(
    lease: &Lease,
    holder: &Holder,
    wire: &Wire,
    patience: &Patience,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Lease>, AcquireError> {
    let wait = patience.answer.min(lease.left(lease.life, uptime::now())).max(LEAST);
    let wanted = Some(lease.address.addr());
    let deadline = Instant::now() + wait;
    match (Acquisition { wire, holder, patience, wanted, deadline }).run(stopped) {
        Err(AcquireError::Silent(_)) => Ok(None),
        other => other.map(Some),
    }
}

/// What a server leaves out of a renewal stays as it was.
fn whole(mut ack: Reply, lease: &Lease) -> Reply {
    ack.address = if ack.address.is_unspecified() { lease.address.addr() } else { ack.address };
    ack.server = ack.server.or(Some(lease.server));
    ack.mask = ack.mask.or(Some(lease.address.netmask()));
    ack
}

/// Gives it back, as well as that goes: the server will forget it anyway (PLG-DHCP-9).
pub fn release(lease: &Lease, patience: &Patience) {
    let told = || -> Result<(), WireError> {
        let wire = Wire::open(&lease.netns, &lease.id.ifname, Some(lease.netns_id()))?;
        let client = acquire::client(&holder(lease, &wire), patience);
        let saying = Saying::Release { address: lease.address.addr(), server: lease.server };
        wire.tell_server(&client, saying, (lease.address.addr(), lease.server), None).map(drop)
    };
    if let Err(e) = told() {
        tracing::info!(lease = %lease.id, "the server was not notified of the release: {e}");
    }
}

/// The pod must not go on with an address that is somebody else's by now.
pub fn take_down(lease: &Lease) {
    let down = Wire::open(&lease.netns, &lease.id.ifname, Some(lease.netns_id()))
        .and_then(|wire| wire.set_down().map_err(WireError::from));
    match down {
        Ok(()) => {
            tracing::warn!(lease = %lease.id, address = %lease.address, "the lease has ended; the link is down");
        }
        Err(e) => {
            tracing::warn!(lease = %lease.id, "the lease has ended, and the link cannot be taken down: {e}");
        }
    }
}

fn holder(lease: &Lease, wire: &Wire) -> Holder {
    Holder {
        id: lease.id.clone(),
        netns: lease.netns.clone(),
        netns_id: wire.identity(),
        mac: wire.mac,
        wishes: lease.wishes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Wishes;

    #[test]
    fn a_time_of_zero_is_a_pause_and_not_a_spin() {
        let id = LeaseId { container: "c".into(), network: "n".into(), ifname: "i".into() };
        let lease = |renew| Lease {
            id: id.clone(),
            netns: "/run/netns/x".into(),
            netns_id: (4, 5),
            mac: String::new(),
            wishes: Wishes::default(),
            address: "10.1.0.9/16".parse().expect("it is a network"),
            server: [10, 1, 0, 1].into(),
            routers: Vec::new(),
            classless: None,
            classful: Vec::new(),
            taken: 1000,
            renew,
            rebind: 80,
            life: 100,
        };
        let now = Duration::from_secs(1000);
        assert_eq!(until_next(&lease(50), false, now), Duration::from_secs(50));
        assert_eq!(until_next(&lease(0), false, now), PAUSE);
    }
}
