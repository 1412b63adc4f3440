use manifold_crds::ipam::{
    Allocation, BlockSpec, BlockState, Claim, Domain, Mode, Offset, PoolSpec, RecallReason, Withheld,
};

use super::*;
use crate::api::{ResourceVersion, Stored, Write, sample};
use crate::pool::Pool;

fn block(n: u8) -> BlockCidr {
    BlockCidr::of([10, 1, 0, 16 * n].into())
}

fn at(n: u8, state: BlockState) -> Stored {
    let spec = BlockSpec { domain: Domain::default(), cidr: block(n), withheld: Default::default(), state };
    Stored { spec, version: ResourceVersion("5".into()), uid: "b".into() }
}

fn held(n: u8, uid: &str) -> Stored {
    at(n, sample::node(uid).held(0))
}

fn offset(n: u8) -> Offset {
    Offset::new(n).unwrap()
}

fn living(of: &[(u8, &str)]) -> Living {
    let shown =
        |node: &str| Shown { pod: format!("shop/{node}"), uid: format!("p-{node}"), node: node.parse().ok() };
    of.iter().map(|(n, node)| (IpAddr::from([10, 1, 0, *n]), vec![shown(node)])).collect()
}

fn nodes(of: &[&str]) -> Nodes {
    of.iter().map(|uid| uid.parse().unwrap()).collect()
}

fn spec(write: Option<Write>) -> BlockSpec {
    match write {
        Some(Write::Replace { spec, version }) => {
            assert_eq!(version, ResourceVersion("5".into()));
            spec
        }
        other => panic!("{other:?}"),
    }
}

fn blocks(all: Vec<Stored>) -> BTreeMap<BlockCidr, Stored> {
    all.into_iter().map(|stored| (stored.spec.cidr, stored)).collect()
}

// Shows part of: IPAM-58
#[test]
fn a_lost_node_keeps_its_block_for_the_time_set_and_then_what_living_pods_show() {
    let read = held(1, "gone");
    let marked = spec(mark_lost_node(&read, &nodes(&["other"])));
    let BlockState::Held(lost) = &marked.state else { panic!() };
    assert_eq!(lost.recall.as_ref().map(|r| r.reason), Some(RecallReason::NodeLost));
    let back = spec(mark_lost_node(&at(1, marked.state.clone()), &nodes(&["gone"])));
    assert_eq!(back, read.spec, "there again");
    let (mut observed, shown) = (Observed::default(), living(&[(17, "gone")]));
    let mut at_time = |now, there: &Nodes| reclaim(&read, there, &shown, &mut observed, 300, now);
    assert_eq!(at_time(1000, &nodes(&[])), None);
    assert_eq!(at_time(1200, &nodes(&["gone"])), None, "it came back, so the time begins anew");
    assert_eq!(at_time(1300, &nodes(&[])), None);
    assert_eq!(at_time(1599, &nodes(&[])), None);
    let BlockState::Shared(all) = spec(at_time(1600, &nodes(&[]))).state else { panic!() };
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [offset(1)]);
    assert!(matches!(&all[&offset(1)], Allocation::Foreign { foreign } if foreign.id == "p-gone"));
}

// Shows part of: IPAM-61
#[test]
fn addresses_of_a_lost_folder_are_freed_beside_those_of_the_new_one() {
    let Allocation::Node(mut lost) = sample::node("me").share(0) else { panic!() };
    lost.store_lost = true;
    let all = [
        (offset(1), Allocation::Node(lost.clone())),
        (offset(2), Allocation::Node(lost)),
        (offset(3), sample::node("me").share(0)),
    ];
    let read = at(1, BlockState::Shared(all.into()));
    let (there, shown, mut observed) = (nodes(&["me"]), living(&[(18, "me")]), Observed::default());
    assert_eq!(reclaim(&read, &there, &shown, &mut observed, 300, 0), None);
    assert_eq!(reclaim(&read, &there, &shown, &mut observed, 300, 59), None);
    let BlockState::Shared(left) = spec(reclaim(&read, &there, &shown, &mut observed, 300, 60)).state else {
        panic!()
    };
    assert!(
        left.keys().eq([&offset(2), &offset(3)]),
        "a living pod shows the one, the other is of the new folder"
    );
}

// Shows part of: IPAM-65
#[test]
fn a_stray_is_kept_from_all_others() {
    let domain = Domain::default();
    let shown = living(&[(17, "me"), (18, "you")]);
    let kept = spec(strays(&domain, block(1), Some(&held(1, "me")), &shown));
    assert_eq!(
        kept.withheld.keys().copied().collect::<Vec<_>>(),
        [offset(2)],
        "the holder's own pod is not a stray"
    );
    let made = strays(&domain, block(1), None, &shown);
    assert!(
        matches!(&made, Some(Write::Create(BlockSpec { state: BlockState::Shared(all), .. })) if all.len() == 2)
    );
    assert_eq!(strays(&domain, block(1), Some(&at(1, kept.state.clone())), &living(&[(17, "me")])), None);
    let again = Stored { spec: kept, ..held(1, "me") };
    assert_eq!(strays(&domain, block(1), Some(&again), &shown), None, "it is kept already");
}

// Shows part of: IPAM-63
#[test]
fn what_belongs_to_a_pod_goes_a_minute_after_it_and_a_claims_with_the_claim() {
    let foreign = lost::foreign(&living(&[(17, "p")])[&IpAddr::from([10, 1, 0, 17])][0]);
    let claim =
        Allocation::Claim { claim: Claim { namespace: "a".into(), name: "c".into(), uid: "c-1".into() } };
    let mut read = at(1, BlockState::Shared([(offset(1), foreign), (offset(3), claim)].into()));
    read.spec.withheld.insert(offset(5), Withheld { pod: "a/b".into() });
    assert_eq!(owners(&read), BTreeSet::from(["p-p", "c-1"]));
    let (pod, c, none) =
        (BTreeSet::from(["p-p".to_owned()]), BTreeSet::from(["c-1".to_owned()]), BTreeSet::new());
    let shown = living(&[(21, "q")]);
    let mut observed = Observed::default();
    let all = Gone { living: &shown, pods: &pod, claims: &c };
    assert_eq!(collect(&read, &all, &mut observed, 0), None);
    let gone = Gone { living: &Living::new(), pods: &none, claims: &c };
    assert_eq!(collect(&read, &gone, &mut observed, 10), None);
    assert_eq!(collect(&read, &all, &mut observed, 60), None, "it is there again");
    assert_eq!(collect(&read, &gone, &mut observed, 70), None);
    let left = spec(collect(&read, &gone, &mut observed, 130));
    assert!(left.withheld.is_empty());
    assert!(matches!(&left.state, BlockState::Shared(all) if all.keys().eq([&offset(3)])));
    let BlockState::Shared(all) =
        spec(collect(&read, &Gone { claims: &none, ..gone }, &mut Observed::default(), 0)).state
    else {
        panic!()
    };
    assert!(!all.contains_key(&offset(3)));
}

#[test]
fn the_reserve_is_made_of_unused_blocks_then_recalled_and_what_is_too_much_goes() {
    let pool = Pool::read(&PoolSpec::of_subnet("10.1.0.0/27")).unwrap();
    let none = Living::new();
    let first = reserve(&pool, &BTreeMap::new(), &none).writes;
    assert!(
        matches!(first.as_slice(), [Write::Create(BlockSpec { state: BlockState::Shared(_), .. })]),
        "{first:?}"
    );
    let full = blocks(vec![held(0, "a"), held(1, "b")]);
    let busy = living(&[(1, "a"), (2, "a")]);
    let recalled = reserve(&pool, &full, &busy).writes;
    let [Write::Replace { spec, .. }] = recalled.as_slice() else { panic!("{recalled:?}") };
    assert_eq!(spec.cidr, block(1), "the one with most free");
    let waits = blocks(vec![held(0, "a"), Stored { spec: spec.clone(), ..held(1, "b") }]);
    assert_eq!(reserve(&pool, &waits, &busy).writes, []);
    let empty = blocks(vec![
        at(0, BlockState::Shared(Default::default())),
        at(1, BlockState::Shared(Default::default())),
    ]);
    let deleted = reserve(&pool, &empty, &none).writes;
    assert!(
        matches!(deleted.as_slice(), [Write::Delete { uid, .. }] if uid == "b"),
        "one stays: {deleted:?}"
    );
}

#[test]
fn used_idle_and_free_make_the_total() {
    let pool = Pool::read(&PoolSpec::of_subnet("10.1.0.0/26")).unwrap();
    let shares = BlockState::Shared([(offset(1), sample::node("b").share(0))].into());
    let all = blocks(vec![held(0, "a"), at(1, shares)]);
    let found = counts(&pool, &all, &living(&[(1, "a"), (40, "stray")]));
    assert_eq!(found, Counts { total: 62, used: 2, idle: 15, free: 45, nodes: 2 });
    let hints = hints(&pool, &all, Mode::Blocks);
    assert_eq!((hints.open, hints.next), (vec![block(1)], vec![block(2), block(3)]));
}

// Shows part of: IPAM-35
#[test]
fn auto_does_not_flap() {
    let pool = Pool::read(&PoolSpec::of_subnet("10.1.0.0/24")).unwrap();
    assert_eq!(auto_mode(&pool, 4, None, 0, false), Mode::Blocks);
    assert_eq!(auto_mode(&pool, 5, None, 0, false), Mode::Singles);
    assert_eq!(auto_mode(&pool, 5, Some(Mode::Blocks), 599, false), Mode::Blocks);
    assert_eq!(auto_mode(&pool, 5, Some(Mode::Blocks), 600, false), Mode::Singles);
    assert_eq!(auto_mode(&pool, 5, Some(Mode::Blocks), 0, true), Mode::Singles);
}

// Shows part of: IPAM-35
#[test]
fn auto_changes_after_ten_minutes_without_a_break_and_at_once_where_addresses_are_short() {
    let pool = Pool::read(&PoolSpec::of_subnet("10.1.0.0/24")).unwrap();
    let mut over_time = ModeOverTime::of(Some(Mode::Blocks));
    assert_eq!(over_time.now(&pool, 5, false, 1000), Mode::Blocks);
    assert_eq!(over_time.now(&pool, 4, false, 1300), Mode::Blocks, "right again: the time begins anew");
    assert_eq!(over_time.now(&pool, 5, false, 1500), Mode::Blocks);
    assert_eq!(over_time.now(&pool, 5, false, 2099), Mode::Blocks);
    assert_eq!(over_time.now(&pool, 5, false, 2100), Mode::Singles);
    assert_eq!(over_time.now(&pool, 4, true, 2101), Mode::Singles, "nobody gets blocks in a shortage");
    let mut short = ModeOverTime::of(Some(Mode::Blocks));
    assert_eq!(short.now(&pool, 5, true, 0), Mode::Singles);
    assert_eq!(ModeOverTime::default().now(&pool, 5, false, 0), Mode::Singles);
}

// Shows part of: IPAM-50
#[test]
fn a_block_is_recalled_for_an_address_by_name_unless_that_helps_nobody() {
    let (read, ip, me) = (held(1, "a"), IpAddr::from([10, 1, 0, 19]), "me".parse().unwrap());
    let recalled = spec(recall_for(&read, ip, Some(&me), &Living::new()));
    let BlockState::Held(lost) = &recalled.state else { panic!() };
    assert_eq!(lost.recall.as_ref().map(|r| r.reason), Some(RecallReason::FixedAddress));
    let again = Stored { spec: recalled, ..held(1, "a") };
    assert_eq!(recall_for(&again, ip, Some(&me), &Living::new()), None);
    assert_eq!(recall_for(&read, ip, Some(&"a".parse().unwrap()), &Living::new()), None, "its own node's");
    assert_eq!(recall_for(&read, ip, Some(&me), &living(&[(19, "x")])), None, "somebody lives by it");
    assert_eq!(
        recall_for(&at(1, BlockState::Shared(Default::default())), ip, Some(&me), &Living::new()),
        None
    );
}

fn of_claim(uid: &str) -> Allocation {
    Allocation::Claim { claim: Claim { namespace: "a".into(), name: "c".into(), uid: uid.into() } }
}

// Shows part of: IPAM-53
#[test]
fn the_addresses_of_a_claim_go_with_it_and_what_lives_by_one_keeps_it() {
    let all = [(offset(1), of_claim("c-1")), (offset(2), of_claim("c-1")), (offset(3), of_claim("c-2"))];
    let read = at(1, BlockState::Shared(all.into()));
    let BlockState::Shared(left) = spec(release_claim(&read, "c-1", &living(&[(18, "p")]))).state else {
        panic!()
    };
    assert!(left.keys().eq([&offset(2), &offset(3)]));
    assert!(matches!(&left[&offset(2)], Allocation::Foreign { foreign } if foreign.id == "p-p"));
    assert_eq!(release_claim(&read, "c-9", &Living::new()), None);
}

// Shows part of: IPAM-52
#[test]
fn what_a_claim_does_not_name_goes_after_a_minute() {
    let read = at(1, BlockState::Shared([(offset(1), of_claim("c-1")), (offset(2), of_claim("c-1"))].into()));
    let named = BTreeSet::from([IpAddr::from([10, 1, 0, 17])]);
    let mut observed = Observed::default();
    let mut drop = |named: &BTreeSet<IpAddr>, shown: &Living, now| {
        drop_unnamed(&read, "c-1", named, shown, &mut observed, now)
    };
    assert_eq!(drop(&named, &Living::new(), 0), None);
    assert_eq!(drop(&BTreeSet::new(), &Living::new(), 59), None, "it names none: nothing is known of it");
    assert_eq!(drop(&named, &living(&[(18, "p")]), 60), None, "somebody lives by it");
    assert_eq!(drop(&named, &Living::new(), 61), None);
    let BlockState::Shared(left) = spec(drop(&named, &Living::new(), 121)).state else { panic!() };
    assert!(left.keys().eq([&offset(1)]));
}

// Shows part of: IPAM-65
#[test]
fn two_living_pods_with_one_address_are_duplicates_unless_it_is_a_claims() {
    let mut shown = living(&[(17, "p"), (18, "q")]);
    let twice = shown[&IpAddr::from([10, 1, 0, 18])].clone();
    for ip in [17, 18] {
        shown
            .get_mut(&IpAddr::from([10, 1, 0, ip]))
            .unwrap()
            .push(Shown { uid: "p-r".into(), ..twice[0].clone() });
    }
    let read = at(1, BlockState::Shared([(offset(1), of_claim("c-1"))].into()));
    let found = duplicates(Some(&read), block(1), &shown);
    assert!(found.keys().eq([&IpAddr::from([10, 1, 0, 18])]), "{found:?}");
    assert_eq!(duplicates(None, block(1), &shown).len(), 2);
}

#[test]
fn an_empty_block_goes_when_no_pool_needs_it() {
    let small = Pool::read(&PoolSpec::of_subnet("10.1.0.0/27")).unwrap();
    let all = blocks(vec![
        at(0, BlockState::Shared(Default::default())),
        at(5, BlockState::Shared(Default::default())),
    ]);
    assert!(!may_delete(&small, &all, block(0)), "its only open addresses");
    assert!(may_delete(&small, &all, block(5)));
    let gone = unneeded([&small].into_iter(), &all);
    assert!(matches!(gone.as_slice(), [Write::Delete { block: b, .. }] if *b == block(5)), "{gone:?}");
    let paused = Pool { paused: true, ..small };
    assert!(matches!(reserve(&paused, &all, &Living::new()).writes.as_slice(), [Write::Delete { .. }]));
}
