use std::net::IpAddr;

use manifold_crds::ipam::{BlockSpec, Domain, PoolSpec, Recall, RecallReason};

use super::*;
use crate::api::{ResourceVersion, sample};

struct Bed {
    holdings: Holdings,
    leases: Leases,
    watched: BTreeMap<BlockCidr, Stored>,
    pool: Pool,
    mode: Mode,
    idle: Idle,
}

impl Bed {
    fn new(mode: Mode) -> Self {
        Self {
            holdings: Holdings::new(Domain::default(), &sample::node("me")),
            leases: Leases::default(),
            watched: BTreeMap::new(),
            pool: Pool::read(&PoolSpec::of_subnet("10.1.0.0/24")).unwrap(),
            mode,
            idle: Idle::default(),
        }
    }

    fn hold(&mut self, n: u8, state: BlockState) {
        let spec =
            BlockSpec { domain: Domain::default(), cidr: block(n), withheld: Default::default(), state };
        self.holdings.take(block(n), sample::node("me").part_of(&spec), 0, &at(0));
        self.watched.insert(block(n), Stored { spec, version: ResourceVersion("5".into()), uid: "b".into() });
    }

    fn tasks(&mut self, seconds: u64) -> Vec<Task> {
        let pools = [PoolInUse { pool: &self.pool, mode: self.mode }];
        let me = sample::node("me");
        tasks(&self.holdings, &self.leases, &self.watched, &pools, &mut self.idle, &me, &at(seconds))
    }
}

fn at(seconds: u64) -> Moment {
    Moment { boot: "b".parse().unwrap(), seconds }
}

fn block(n: u8) -> BlockCidr {
    BlockCidr::of([10, 1, 0, 16 * n].into())
}

fn ip(n: u8) -> IpAddr {
    [10, 1, 0, n].into()
}

fn held() -> BlockState {
    sample::node("me").held(0)
}

// Shows part of: IPAM-45, IPAM-46
#[test]
fn a_block_goes_when_it_was_free_for_ten_minutes_and_enough_is_left() {
    let mut bed = Bed::new(Mode::Blocks);
    bed.hold(1, held());
    bed.hold(2, held());
    bed.leases.take(ip(17));
    assert_eq!(bed.tasks(1), []);
    assert_eq!(bed.tasks(600), []);
    assert_eq!(bed.tasks(601), [Task::Release(block(2), WHOLE_MASK)]);
    bed.leases.release(ip(17));
    assert_eq!(bed.tasks(602), [Task::Release(block(2), WHOLE_MASK)], "the other has been free for no time");
    assert_eq!(bed.tasks(1202).len(), 2, "after the last pod nothing is kept");
}

// Shows part of: IPAM-45
#[test]
fn a_single_address_goes_when_it_is_free_and_has_rested() {
    let mut bed = Bed::new(Mode::Singles);
    bed.pool.reuse_after_seconds = 60;
    bed.hold(
        1,
        BlockState::Shared(
            crate::holdings::offsets(0b110).map(|o| (o, sample::node("me").share(0))).collect(),
        ),
    );
    bed.leases.take(ip(17));
    bed.leases.note_freed(ip(18), 100);
    assert_eq!(bed.tasks(159), []);
    assert_eq!(bed.tasks(160), [Task::Release(block(1), 0b100)]);
}

#[test]
fn a_recalled_block_goes_at_once() {
    let mut bed = Bed::new(Mode::Blocks);
    bed.hold(1, held());
    bed.leases.take(ip(17));
    let stored = bed.watched.get_mut(&block(1)).unwrap();
    let BlockState::Held(held) = &mut stored.spec.state else { panic!() };
    held.recall = Some(Recall { reason: RecallReason::PoolShort, since: String::new() });
    assert_eq!(bed.tasks(1), [Task::Release(block(1), WHOLE_MASK)]);
}

#[test]
fn where_pods_run_the_next_ones_find_an_address() {
    let mut bed = Bed::new(Mode::Blocks);
    bed.hold(1, held());
    assert_eq!(bed.tasks(1), [], "no pods");
    (16..24).for_each(|n| bed.leases.take(ip(n)));
    assert_eq!(bed.tasks(1), []);
    bed.leases.take(ip(24));
    assert_eq!(bed.tasks(1), [Task::TopUp]);
    bed.mode = Mode::Singles;
    assert_eq!(bed.tasks(1), []);
}

#[test]
fn what_holdings_and_watch_do_not_agree_on_is_read() {
    let mut bed = Bed::new(Mode::Blocks);
    bed.hold(1, held());
    bed.leases.take(ip(40));
    let orphan = bed.watched[&block(1)].clone();
    bed.watched.clear();
    assert_eq!(
        bed.tasks(1),
        [Task::Reconcile(block(1)), Task::Reconcile(block(2))],
        "vanished, and a lease outside"
    );
    bed.leases.release(ip(40));
    bed.holdings.shrink(block(1), 0);
    bed.watched.insert(block(1), orphan);
    assert_eq!(bed.tasks(1), [Task::Reconcile(block(1))], "given without our knowing");
    let mut bed = Bed::new(Mode::Blocks);
    bed.hold(1, held());
    assert_eq!(bed.tasks(CONFIRM_EVERY_SECONDS), [Task::Reconcile(block(1))], "confirmed an hour ago");
}
