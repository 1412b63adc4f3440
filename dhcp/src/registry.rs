//! All leases of this daemon: given, kept, resumed, ended.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, CniResult, code};

use crate::acquire::{AcquireError, Acquisition, Patience};
use crate::identity::LeaseId;
use crate::keeper::{self, Kept, Turn};
use crate::lease::{Holder, Lease};
use crate::rpc::Ask;
use crate::store::Store;
use crate::uptime;
use crate::wire::{Wire, WireError};

#[derive(Debug)]
pub struct Registry {
    leases: Mutex<HashMap<LeaseId, Arc<Kept>>>,
    store: Store,
    patience: Patience,
}

impl Registry {
    pub fn new(store: Store, patience: Patience) -> Arc<Self> {
        Arc::new(Self { leases: Mutex::default(), store, patience })
    }

    /// Goes on with what an earlier daemon kept (PLG-DHCP-10).
    pub fn resume(self: &Arc<Self>) -> std::io::Result<usize> {
        let mut resumed = 0;
        for lease in self.store.all()? {
            let there = Wire::open(&lease.netns, &lease.id.ifname, Some(lease.netns_id()));
            if there.is_err_and(|e| e.is_gone()) {
                self.store.remove(&lease.id)?;
                continue;
            }
            let kept = Arc::new(Kept::asked_for(lease.id.clone()));
            kept.hold(lease.resumed(uptime::now()));
            self.lock().insert(kept.id.clone(), Arc::clone(&kept));
            self.keep(kept);
            resumed += 1;
        }
        Ok(resumed)
    }

    /// The lease of ADD and of CHECK: the one that there is, else a new one (PLG-DHCP-5, PLG-DHCP-9).
    pub fn lease(self: &Arc<Self>, ask: &Ask, netns: PathBuf) -> Result<CniResult, CniError> {
        let deadline = Instant::now() + Duration::from_millis(ask.wait_ms);
        let wire = Wire::open(&netns, &ask.id.ifname, None).map_err(|e| bad_wire(&e))?;
        let kept = match self.enter(&ask.id, &wire)? {
            Entered::Held(lease) => return Ok(lease.result()),
            Entered::New(kept) => kept,
        };
        let holder = Holder {
            id: ask.id.clone(),
            netns,
            netns_id: wire.identity(),
            mac: wire.mac,
            wishes: ask.wishes.clone(),
        };
        let acquisition =
            Acquisition { wire: &wire, holder: &holder, patience: &self.patience, wanted: None, deadline };
        let acquired = acquisition.run(&|| kept.is_stopped());
        let lease = acquired.map_err(not_leased).and_then(|lease| {
            self.store.put(&lease).map_err(|e| {
                keeper::release(&lease, &self.patience);
                CniError::io(&e, format!("the lease cannot be saved ({e})"))
            })?;
            Ok(lease)
        });
        let lease = lease.inspect_err(|_| self.forget(&kept))?;
        if !kept.hold(lease.clone()) {
            self.forget(&kept);
            self.wipe(&kept.id);
            keeper::release(&lease, &self.patience);
            return Err(not_leased(AcquireError::Stopped));
        }
        self.keep(kept);
        Ok(lease.result())
    }

    /// Ends a lease. One that is not known has ended already.
    pub fn end(&self, id: &LeaseId) {
        let Some(kept) = self.lock().remove(id) else { return };
        kept.stop();
        if let Err(e) = self.store.remove(id) {
            tracing::warn!(lease = %id, "the lease's file cannot be removed: {e}");
        }
        if let Some(lease) = kept.lease() {
            keeper::release(&lease, &self.patience);
        }
    }

    /// Ends the leases of a network that are not listed.
    pub fn keep_only(&self, network: &str, keep: &[LeaseId]) {
        let stale: Vec<LeaseId> =
            self.lock().keys().filter(|id| id.network == network && !keep.contains(id)).cloned().collect();
        stale.iter().for_each(|id| self.end(id));
    }

    fn enter(&self, id: &LeaseId, wire: &Wire) -> Result<Entered, CniError> {
        let mut leases = self.lock();
        if let Some(kept) = leases.get(id) {
            match kept.lease() {
                None => {
                    let msg = format!("the lease `{id}` is already being requested");
                    return Err(CniError::new(code::TRY_AGAIN, msg));
                }
                // Of this very namespace, and not over.
                Some(lease) if lease.netns_id() == wire.identity() && !lease.is_over(uptime::now()) => {
                    return Ok(Entered::Held(Box::new(lease)));
                }
                Some(_) => kept.stop(),
            }
        }
        let kept = Arc::new(Kept::asked_for(id.clone()));
        leases.insert(id.clone(), Arc::clone(&kept));
        Ok(Entered::New(kept))
    }

    /// A thread for as long as the lease lives.
    fn keep(self: &Arc<Self>, kept: Arc<Kept>) {
        let registry = Arc::clone(self);
        let name = "lease".to_owned();
        let started = thread::Builder::new().name(name).spawn(move || registry.keep_here(&kept));
        if let Err(e) = started {
            tracing::error!("a lease cannot be kept, there is no thread for it: {e}");
        }
    }

    fn keep_here(&self, kept: &Kept) {
        let mut failed = false;
        loop {
            let Some(lease) = kept.lease() else { return };
            if !kept.wait(keeper::until_next(&lease, failed, uptime::now())) {
                return;
            }
            if lease.is_over(uptime::now()) {
                keeper::take_down(&lease);
                return self.forget(kept);
            }
            match keeper::attempt(&lease, &self.patience, &|| kept.is_stopped()) {
                Turn::Renewed(new) => {
                    failed = false;
                    if !kept.hold((*new).clone()) {
                        return keeper::release(&new, &self.patience);
                    }
                    if let Err(e) = self.store.put(&new) {
                        tracing::warn!(lease = %kept.id, "the renewed lease cannot be saved: {e}");
                    }
                    if kept.is_stopped() {
                        return self.wipe(&kept.id);
                    }
                }
                Turn::Later(why) => {
                    failed = true;
                    tracing::info!(lease = %kept.id, "not renewed yet: {why}");
                }
                Turn::Gone => return self.forget(kept),
            }
        }
    }

    /// Drops this very entry; another one under the same name stays.
    fn forget(&self, kept: &Kept) {
        let mut leases = self.lock();
        if leases.get(&kept.id).is_some_and(|there| std::ptr::eq(Arc::as_ptr(there), kept)) {
            leases.remove(&kept.id);
            if let Err(e) = self.store.remove(&kept.id) {
                tracing::warn!(lease = %kept.id, "the lease's file cannot be removed: {e}");
            }
        }
    }

    /// Removes what was written down while its end came, unless the name is another lease's by now: the next daemon must
    /// not go on with it.
    fn wipe(&self, id: &LeaseId) {
        let leases = self.lock();
        if !leases.contains_key(id)
            && let Err(e) = self.store.remove(id)
        {
            tracing::warn!(lease = %id, "the lease's file cannot be removed: {e}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseId, Arc<Kept>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entered {
    Held(Box<Lease>),
    New(Arc<Kept>),
}

fn bad_wire(error: &WireError) -> CniError {
    let code = match error {
        WireError::Namespace(_) | WireError::Own | WireError::Reused => code::INVALID_NETNS,
        _ => code::FAILED,
    };
    CniError::new(code, error.to_string())
}

fn not_leased(error: AcquireError) -> CniError {
    match error {
        AcquireError::Wire(e) => bad_wire(&e),
        AcquireError::Reply(e) => CniError::failed(e.to_string()),
        AcquireError::Silent(_) | AcquireError::Stopped => CniError::new(code::TRY_AGAIN, error.to_string()),
    }
}
