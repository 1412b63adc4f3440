use super::*;
use crate::api::{ResourceVersion, sample};

fn now() -> Moment {
    Moment { boot: "b".parse().unwrap(), seconds: 1 }
}

fn block() -> BlockCidr {
    "10.1.7.16".parse().unwrap()
}

fn holding(part: Part, closing: u16, boot: &str) -> Holding {
    let confirmed = Some(Moment { boot: boot.parse().unwrap(), seconds: 0 });
    Holding { part, closing, withheld: 0, confirmed }
}

fn stored(state: BlockState) -> Stored {
    let spec = BlockSpec { domain: Domain::default(), cidr: block(), withheld: Default::default(), state };
    Stored { spec, version: ResourceVersion("5".into()), uid: "u".into() }
}

fn shared(of: &[(u16, &str)]) -> Stored {
    let shares = of.iter().flat_map(|(mask, uid)| offsets(*mask).map(|o| (o, sample::node(uid).share(0))));
    stored(BlockState::Shared(shares.collect()))
}

fn look(read: Option<&Stored>, holding: Option<&Holding>, leased: u16) -> Reconciled {
    let here = OnNode { domain: &Domain::default(), block: block(), holding, leased, now: &now() };
    reconcile(read, &here, &sample::node("me"))
}

/// What the node has if the write is applied, and the epochs in it.
fn written(step: &Step) -> (Part, u64) {
    let Step::Write { write: Write::Replace { spec, .. } | Write::Create(spec), part, .. } = step else {
        panic!("{step:?}")
    };
    assert_eq!(sample::node("me").part_of(spec), *part, "what is taken up is what is written");
    (*part, next_epoch(spec, &sample::node("me")).saturating_sub(1))
}

#[test]
fn what_is_held_still_is_confirmed_by_a_read_in_the_same_boot_only() {
    let held = stored(sample::node("me").held(4));
    let same = look(Some(&held), Some(&holding(Part::Whole, 0, "b")), 0);
    assert_eq!(same.step, Step::Confirm { withheld: 0 });
    let rebooted = look(Some(&held), Some(&holding(Part::Whole, 0, "a")), 0);
    assert_eq!(written(&rebooted.step), (Part::Whole, 5));
}

// Shows part of: IPAM-68
#[test]
fn what_leaves_or_is_new_is_taken_up_only_by_a_write_that_outdates_every_other() {
    let held = stored(sample::node("me").held(4));
    let closing = holding(Part::Whole, WHOLE_MASK, "b");
    for known in [Some(&closing), None] {
        assert_eq!(written(&look(Some(&held), known, 0).step), (Part::Whole, 5));
    }
    let ours = shared(&[(0b110, "me"), (1, "you")]);
    assert_eq!(written(&look(Some(&ours), None, 0).step), (Part::Singles(0b110), 1));
}

#[test]
fn what_somebody_else_has_is_dropped_and_its_living_leases_are_told() {
    let yours = stored(sample::node("you").held(0));
    let found = look(Some(&yours), Some(&holding(Part::Whole, 0, "b")), 0b11);
    assert_eq!(found, Reconciled { conflicts: 0b11, step: Step::Drop });
}

#[test]
fn a_living_lease_gets_its_address_back_where_nobody_was_faster() {
    let found =
        look(Some(&shared(&[(0b0010, "you")])), Some(&holding(Part::Singles(0b0111), 0, "b")), 0b0110);
    assert_eq!(found.conflicts, 0b0010);
    assert_eq!(written(&found.step).0, Part::Singles(0b0100));
    let Step::Write { keep, .. } = found.step else { panic!() };
    assert_eq!(keep, 0, "until the answer nothing of it is given");
}

#[test]
fn a_block_that_vanished_is_made_again_but_not_after_a_reboot() {
    let whole = holding(Part::Whole, 0, "b");
    let found = look(None, Some(&whole), 0b1);
    assert!(matches!(
        &found.step,
        Step::Write { close: WHOLE_MASK, write: Write::Create(_), part: Part::Whole, .. }
    ));
    let leaving = look(None, Some(&holding(Part::Whole, WHOLE_MASK, "b")), 0b1);
    assert_eq!(written(&leaving.step).0, Part::Singles(0b1));
    assert_eq!(look(None, Some(&holding(Part::Whole, 0, "a")), 0).step, Step::Drop);
    assert_eq!(look(None, None, 0).step, Step::Drop);
}

/// A disk that was put back brings an old folder with it, whose blocks were told lost meanwhile.
#[test]
fn what_was_told_lost_is_not_taken_up_by_the_folder_that_comes_back() {
    let (me, state) = (sample::node("me"), sample::node("me").held(4));
    let newer = Identity { store: "f".repeat(32).parse().unwrap(), ..me };
    let Some(Write::Replace { spec, .. }) = mark_lost_store(&stored(state), &newer) else { panic!() };
    for known in [None, Some(&holding(Part::Whole, 0, "a")), Some(&holding(Part::Whole, 0, "b"))] {
        assert_eq!(look(Some(&stored(spec.state.clone())), known, 0).step, Step::Drop);
    }
}

#[test]
fn what_an_earlier_folder_had_is_marked_once() {
    let me = sample::node("me");
    let before = Identity { store: "f".repeat(32).parse().unwrap(), ..me.clone() };
    let allocations = [
        (offsets(1), before.share(0)),
        (offsets(2), me.share(0)),
        (offsets(4), sample::node("you").share(0)),
    ];
    let all = allocations.into_iter().flat_map(|(at, share)| at.map(move |o| (o, share.clone())));
    for state in [before.held(0), BlockState::Shared(all.collect())] {
        let Some(Write::Replace { spec, .. }) = mark_lost_store(&stored(state), &me) else { panic!() };
        assert_eq!(mark_lost_store(&stored(spec.state), &me), None);
    }
    assert_eq!(mark_lost_store(&stored(me.held(0)), &me), None);
}
