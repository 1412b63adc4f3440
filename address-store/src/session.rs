//! What is done with blocks under the claiming lock of a domain: reconcile, release, claim. Shim and node role share it.
//!
//! Each step is in the order in which a kill between any two does no harm: what leaves the holdings is durable before the
//! request, what enters them comes after the answer, and the intent goes last.

use std::time::Instant;

use manifold_addresses::api::{Identity, Stored, Write};
use manifold_addresses::claim::{Attempt, Want, attempt};
use manifold_addresses::holdings::{Holdings, Part, WHOLE_MASK};
use manifold_addresses::moment::Moment;
use manifold_addresses::pool::Pool;
use manifold_addresses::reconcile::{OnNode, Step, mark_lost_store, reconcile};
use manifold_addresses::release::release;
use manifold_crds::ipam::{BlockCidr, BlockState, NodeName};

use crate::{ApiError, BlockApi, Claiming, DomainFolder, StoreError, Written, crash};

/// So often a block is read again after a conflict.
const TRIES: usize = 4;

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The node's disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API server. An intent that was durable stays for whoever has the lock next.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; so many addresses of the block are held and not leaving now.
    Done {
        /// How many.
        held: u32,
        /// Addresses with a living lease that somebody else has by now.
        conflicts: u16,
    },
    /// Others have it, or it has no room.
    Skipped {
        /// The node that holds all of it, where one does.
        held_by: Option<NodeName>,
    },
    /// Others changed it each time.
    Contended,
}

/// Work under the claiming lock.
#[derive(Debug)]
pub struct Session<'a, A> {
    /// The requests.
    pub api: &'a A,
    /// The domain.
    pub folder: &'a DomainFolder,
    /// Who the node is.
    pub me: &'a Identity,
    /// Until when the domain's lock is waited for.
    pub deadline: Instant,
    claiming: Claiming,
}

/// How a block is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Of which pool.
    pub pool: &'a Pool,
    /// How much of the block.
    pub want: Want,
    /// Read the block before anything is written: where it probably has an object.
    pub reads_first: bool,
    /// Leave a block alone that has an object.
    pub only_new: bool,
}

impl<'a, A: BlockApi> Session<'a, A> {
    /// With the lock. [`Self::settle`] comes first.
    pub fn new(
        api: &'a A,
        folder: &'a DomainFolder,
        me: &'a Identity,
        claiming: Claiming,
        deadline: Instant,
    ) -> Self {
        Self { api, folder, me, deadline, claiming }
    }

    /// Settles what others were about to ask for when they died: one GET for each intent.
    ///
    /// # Errors
    /// If the disk or the API server refuses; the intent stays.
    pub async fn settle(&self) -> Result<(), SessionError> {
        for intent in self.folder.intents(&self.claiming)? {
            self.reconcile(intent.block).await?;
        }
        Ok(())
    }

    /// Makes the holdings of a block what the API server says, and the block what the leases need.
    ///
    /// # Errors
    /// If the disk or the API server refuses.
    pub async fn reconcile(&self, block: BlockCidr) -> Result<Outcome, SessionError> {
        let read = self.get(block).await?;
        self.reconcile_with(block, read).await
    }

    async fn reconcile_with(&self, block: BlockCidr, read: Option<Stored>) -> Result<Outcome, SessionError> {
        let mut read = read;
        for _ in 0..TRIES {
            let (step, conflicts) = self.begin(block, read.as_ref())?;
            let Step::Write { write, part, withheld, .. } = step else {
                self.folder.remove_intent(block, &self.claiming)?;
                return self.done(block, conflicts);
            };
            match self.write(&write).await? {
                Written::Applied => {
                    self.take(block, part, withheld)?;
                    crash::point("adopted");
                    return self.done(block, conflicts);
                }
                Written::Conflict => read = self.get(block).await?,
            }
        }
        Ok(Outcome::Contended)
    }

    /// Decides, and makes durable what must be before a request.
    fn begin(&self, block: BlockCidr, read: Option<&Stored>) -> Result<(Step, u16), SessionError> {
        let locked = self.folder.lock(self.deadline)?;
        let mut decided = None;
        let leases = locked.leases(&crate::clock::now()?)?;
        locked.change(self.me, |holdings, now| {
            let (holding, leased) = (holdings.get(block), leases.mask(block));
            let here = OnNode { domain: self.folder.name(), block, holding, leased, now };
            let found = reconcile(read, &here, self.me);
            match &found.step {
                Step::Confirm { withheld } => holdings.confirm(block, *withheld, now),
                Step::Drop => holdings.shrink(block, 0),
                Step::Write { keep, close, .. } => {
                    holdings.shrink(block, *keep);
                    holdings.close(block, *close);
                }
            }
            decided = Some((found.step, found.conflicts));
        })?;
        let (step, conflicts) = decided.ok_or_else(|| ApiError::new("nothing was decided"))?;
        crash::point(match step {
            Step::Confirm { .. } => "confirmed",
            Step::Drop => "dropped",
            Step::Write { .. } => "closing",
        });
        Ok((step, conflicts))
    }

    /// Gives addresses of a block back: all of them where the node holds the whole block, else those of the mask that are
    /// free and have rested for `reuse_after_seconds`. What has a lease stays, one by one.
    ///
    /// # Errors
    /// If the disk or the API server refuses. What is closing stays so until a later call.
    pub async fn release(
        &self,
        block: BlockCidr,
        mask: u16,
        reuse_after_seconds: u32,
    ) -> Result<Outcome, SessionError> {
        let mut closed = false;
        self.change(|holdings, busy| {
            let Some(holding) = holdings.get(block) else { return };
            let whole = holding.part == Part::Whole;
            holdings.close(block, if whole { WHOLE_MASK } else { mask & !busy(block, reuse_after_seconds) });
            closed = true;
        })?;
        if !closed {
            return Ok(Outcome::Skipped { held_by: None });
        }
        crash::point("closing");
        for _ in 0..TRIES {
            let Some(read) = self.get(block).await? else { return self.reconcile_with(block, None).await };
            let mut found = None;
            self.change(|holdings, busy| {
                let busy = busy(block, reuse_after_seconds);
                found = holdings.get(block).and_then(|h| release(&read, h, busy, self.me));
            })?;
            let Some(go) = found else { return self.reconcile_with(block, Some(read)).await };
            if self.write(&go.write).await? == Written::Applied {
                crash::point("given-up");
                self.take(block, go.left, go.withheld)?;
                return self.done(block, 0);
            }
        }
        Ok(Outcome::Contended)
    }

    /// Tells the leader of a block that an earlier folder of this node had.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn mark_lost_store(&self, block: BlockCidr) -> Result<(), SessionError> {
        for _ in 0..TRIES {
            let Some(read) = self.get(block).await? else { return Ok(()) };
            let Some(write) = mark_lost_store(&read, self.me) else { return Ok(()) };
            if self.write(&write).await? == Written::Applied {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Claims a part of a block, or takes up what the node has of it without knowing.
    ///
    /// # Errors
    /// If the disk or the API server refuses.
    pub async fn claim(&self, block: BlockCidr, claim: &Claim<'_>) -> Result<Outcome, SessionError> {
        let mut read = if claim.reads_first { self.get(block).await? } else { None };
        for _ in 0..TRIES {
            let held =
                self.lock_for(|holdings| holdings.get(block).map_or(0, |h| h.part.mask() & !h.closing))?;
            match attempt(block, read.as_ref(), claim.want, claim.pool, held, self.me) {
                Attempt::Send(write, part) if !claim.only_new || matches!(write, Write::Create(_)) => {
                    let withheld =
                        read.as_ref().map_or(0, |r| manifold_addresses::api::withheld_mask(&r.spec));
                    self.folder.add_intent(block, &self.claiming)?;
                    match self.write(&write).await {
                        Ok(Written::Applied) => {
                            self.take(block, part, withheld)?;
                            return self.done(block, 0);
                        }
                        Ok(Written::Conflict) => read = self.get(block).await?,
                        // One GET says whether it was done, if one is answered.
                        Err(unknown) => return self.reconcile(block).await.map_err(|_| unknown.into()),
                    }
                }
                Attempt::Reconcile => return self.reconcile_with(block, read).await,
                _ => {
                    self.folder.remove_intent(block, &self.claiming)?;
                    let state = read.map(|r| r.spec.state);
                    let held_by = match state {
                        Some(BlockState::Held(held)) => Some(held.holder.node),
                        _ => None,
                    };
                    return Ok(Outcome::Skipped { held_by });
                }
            }
        }
        self.folder.remove_intent(block, &self.claiming)?;
        Ok(Outcome::Contended)
    }

    async fn get(&self, block: BlockCidr) -> Result<Option<Stored>, ApiError> {
        self.api.block(self.folder.name(), block).await
    }

    async fn write(&self, write: &Write) -> Result<Written, ApiError> {
        crash::point("claim-sent");
        let written = self.api.write(write).await;
        crash::point("claim-answered");
        written
    }

    /// The API server said yes.
    fn take(&self, block: BlockCidr, part: Part, withheld: u16) -> Result<(), SessionError> {
        let locked = self.folder.lock(self.deadline)?;
        let holdings = locked.change(self.me, |holdings, now| holdings.take(block, part, withheld, now))?;
        crash::point("held");
        locked.forget_freed_elsewhere(&holdings)?;
        drop(locked);
        Ok(self.folder.remove_intent(block, &self.claiming)?)
    }

    fn done(&self, block: BlockCidr, conflicts: u16) -> Result<Outcome, SessionError> {
        let held = self.lock_for(|holdings| {
            holdings.get(block).map_or(0, |h| (h.part.mask() & !h.closing).count_ones())
        })?;
        Ok(Outcome::Done { held, conflicts })
    }

    /// Looks at the holdings.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn lock_for<T>(&self, look: impl FnOnce(&Holdings) -> T) -> Result<T, StoreError> {
        let locked = self.folder.lock(self.deadline)?;
        Ok(look(&locked.holdings(self.me)?))
    }

    /// Changes the holdings by what is busy: has a lease, or rests.
    fn change(
        &self,
        change: impl FnOnce(&mut Holdings, &dyn Fn(BlockCidr, u32) -> u16),
    ) -> Result<(), StoreError> {
        let locked = self.folder.lock(self.deadline)?;
        let now: Moment = crate::clock::now()?;
        let leases = locked.leases(&now)?;
        let busy = |block, rest| leases.mask(block) | leases.cooling_mask(block, rest, now.seconds);
        locked.change(self.me, |holdings, _| change(holdings, &busy)).map(drop)
    }
}
