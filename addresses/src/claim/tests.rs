use manifold_crds::ipam::{Domain, PoolSpec, RangeSpec};

use super::*;
use crate::api::{ResourceVersion, sample};
use crate::moment::Moment;

/// Numbers in turn.
struct Turns(u128);

impl Chance for Turns {
    fn below(&mut self, end: u128) -> u128 {
        self.0 += 7;
        self.0 % end
    }
}

fn pool(change: impl FnOnce(&mut PoolSpec)) -> Pool {
    let mut spec = PoolSpec::of_subnet("10.1.0.0/24");
    change(&mut spec);
    Pool::read(&spec).unwrap()
}

fn block(n: u8) -> BlockCidr {
    BlockCidr::of([10, 1, 0, 16 * n].into())
}

fn stored(state: BlockState) -> Stored {
    let spec = BlockSpec { domain: Domain::default(), cidr: block(1), withheld: Default::default(), state };
    Stored { spec, version: ResourceVersion("5".into()), uid: "b".into() }
}

fn shared(of: &[(u8, &str)]) -> Stored {
    let share = |(offset, uid): &(u8, &str)| (Offset::new(*offset).unwrap(), sample::node(uid).share(0));
    stored(BlockState::Shared(of.iter().map(share).collect()))
}

fn part(attempt: Attempt) -> Part {
    match attempt {
        Attempt::Send(_, part) => part,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_asked_for_follows_from_what_was_read() {
    let (pool, me) = (pool(|_| ()), sample::node("me"));
    let ask = |read: Option<&Stored>, want, held| attempt(block(1), read, want, &pool, held, &me);
    assert!(matches!(ask(None, Want::Block, 0), Attempt::Send(Write::Create(_), Part::Whole)));
    assert_eq!(part(ask(None, Want::Singles(3), 0)), Part::Singles(0b111));
    let (other, empty, mixed) =
        (stored(sample::node("you").held(0)), shared(&[]), shared(&[(0, "you"), (2, "me")]));
    assert_eq!(ask(Some(&other), Want::Block, 0), Attempt::Skip);
    assert_eq!(part(ask(Some(&empty), Want::Block, 0)), Part::Whole);
    assert_eq!(part(ask(Some(&mixed), Want::Singles(2), 0b100)), Part::Singles(0b1110));
    assert_eq!(
        part(ask(Some(&mixed), Want::Block, 0b100)),
        Part::Singles(0b0110),
        "somebody else has a part of it"
    );
    assert_eq!(ask(Some(&mixed), Want::Exactly(Offset::new(0).unwrap()), 0b100), Attempt::Skip);
    // What the server says is ours and the holdings do not give: a request to give it back may be on its way.
    assert_eq!(ask(Some(&mixed), Want::Block, 0), Attempt::Reconcile);
    assert_eq!(ask(Some(&stored(me.held(3))), Want::Block, u16::MAX), Attempt::Reconcile);
    let Attempt::Send(Write::Replace { version, .. }, _) = ask(Some(&empty), Want::Block, 0) else {
        panic!()
    };
    assert_eq!(version, ResourceVersion("5".into()));
}

#[test]
fn another_folder_of_this_node_is_somebody_else() {
    let (pool, me) = (pool(|_| ()), sample::node("me"));
    let before = Identity { store: "f".repeat(32).parse().unwrap(), ..me.clone() };
    assert_eq!(attempt(block(1), Some(&stored(before.held(0))), Want::Block, &pool, 0, &me), Attempt::Skip);
}

#[test]
fn withheld_and_fixed_addresses_are_not_taken() {
    let fixed = RangeSpec { start: "10.1.0.16".into(), end: "10.1.0.29".into() };
    let (pool, me) = (pool(|p| p.fixed = vec![fixed]), sample::node("me"));
    let mut read = shared(&[]);
    read.spec.withheld.insert(Offset::new(15).unwrap(), manifold_crds::ipam::Withheld { pod: "a/b".into() });
    let ask = |read: Option<&Stored>, want| attempt(block(1), read, want, &pool, 0, &me);
    assert_eq!(part(ask(None, Want::Block)), Part::Singles(1 << 14), "never held where fixed addresses lie");
    assert_eq!(part(ask(Some(&read), Want::Singles(16))), Part::Singles(1 << 14));
    assert_eq!(
        part(ask(Some(&read), Want::Exactly(Offset::new(3).unwrap()))),
        Part::Singles(1 << 3),
        "by name"
    );
}

#[test]
fn a_small_pool_is_tried_whole_and_a_large_one_ten_times() {
    let holdings = Holdings::new(Domain::default(), &sample::node("me"));
    let small = pool(|p| p.ranges = vec![RangeSpec { start: "10.1.0.10".into(), end: "10.1.0.70".into() }]);
    let tried = candidates(&small, Mode::Singles, &Hints::default(), &holdings, Search::Some, &mut Turns(0));
    assert_eq!(tried.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    let large = Pool::read(&PoolSpec::of_subnet("fd00::/32")).unwrap();
    let hint = BlockCidr::of("fd00::40".parse().unwrap());
    let hints = Hints { next: vec![hint; 64], ..Hints::default() };
    let tried = candidates(&large, Mode::Blocks, &hints, &holdings, Search::Some, &mut Turns(0));
    assert_eq!((tried.first(), tried.len()), (Some(&hint), HINT_TRIES + CHANCE_TRIES));
}

#[test]
fn the_last_free_address_of_a_pool_given_one_by_one_is_looked_for_in_every_block() {
    let holdings = Holdings::new(Domain::default(), &sample::node("me"));
    let found = |subnet: &str, search| {
        let pool = Pool::read(&PoolSpec::of_subnet(subnet)).unwrap();
        let tried = candidates(&pool, Mode::Singles, &Hints::default(), &holdings, search, &mut Turns(0));
        tried.into_iter().collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(found("10.1.0.0/24", Search::Every), 16);
    assert_eq!(found("10.1.0.0/22", Search::Every), 64);
    assert_eq!(found("10.1.0.0/24", Search::Some), CHANCE_TRIES);
    assert_eq!(found("10.1.0.0/20", Search::Every), CHANCE_TRIES, "hints serve a large one");
}

#[test]
fn a_block_that_is_held_and_given_is_not_asked_for() {
    let now = Moment { boot: "b".parse().unwrap(), seconds: 1 };
    let mut holdings = Holdings::new(Domain::default(), &sample::node("me"));
    let small = pool(|p| p.ranges = vec![RangeSpec { start: "10.1.0.16".into(), end: "10.1.0.40".into() }]);
    holdings.take(block(1), Part::Whole, 0, &now);
    let tried = |holdings: &Holdings| {
        candidates(&small, Mode::Blocks, &Hints::default(), holdings, Search::Some, &mut Turns(0))
    };
    assert_eq!(tried(&holdings), [block(2)]);
    holdings.close(block(1), u16::MAX);
    assert_eq!(tried(&holdings).len(), 2, "one that leaves can be had again");
}

// Shows part of: IPAM-36
#[test]
fn a_node_asks_for_no_more_than_it_may_have() {
    let now = Moment { boot: "b".parse().unwrap(), seconds: 1 };
    let pool = pool(|p| p.max_per_node = 20);
    let mut holdings = Holdings::new(Domain::default(), &sample::node("me"));
    assert_eq!(want(Mode::Blocks, 3, room_on_node(&pool, &holdings)), Want::Block);
    holdings.take(block(1), Part::Whole, 0, &now);
    assert_eq!(want(Mode::Blocks, 9, room_on_node(&pool, &holdings)), Want::Singles(4));
}

#[test]
fn a_node_that_grows_asks_for_half_of_what_it_has() {
    let asked: Vec<usize> =
        [(1, 0), (17, 0), (1, 6), (1, 100), (500, 0)].map(|(m, h)| blocks_to_claim(m, h)).to_vec();
    assert_eq!(asked, [1, 2, 3, 8, 8]);
}
