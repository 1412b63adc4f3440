use manifold_crds::ipam::{BlockCidr, Domain};

use super::*;
use crate::api::{ResourceVersion, sample};
use crate::moment::Moment;

fn stored(state: BlockState) -> Stored {
    let cidr: BlockCidr = "10.1.7.16".parse().unwrap();
    let spec = BlockSpec { domain: Domain::default(), cidr, withheld: Default::default(), state };
    Stored { spec, version: ResourceVersion("5".into()), uid: "u".into() }
}

fn holding(part: Part, closing: u16) -> Holding {
    let confirmed = Some(Moment { boot: "b".parse().unwrap(), seconds: 0 });
    Holding { part, closing, withheld: 0, confirmed }
}

#[test]
fn a_whole_block_goes_but_for_what_is_in_use() {
    let me = sample::node("me");
    let held = stored(me.held(4));
    let go = release(&held, &holding(Part::Whole, WHOLE_MASK), 0b101, &me).unwrap();
    assert_eq!(go.left, Part::Singles(0b101));
    let Write::Replace { spec, version } = go.write else { panic!() };
    assert_eq!((me.part_of(&spec), version), (Part::Singles(0b101), ResourceVersion("5".into())));
}

#[test]
fn nothing_goes_that_is_not_closing() {
    let me = sample::node("me");
    assert_eq!(release(&stored(me.held(4)), &holding(Part::Whole, 0), 0, &me), None);
    let shares = |mask| stored(BlockState::Shared(offsets(mask).map(|o| (o, me.share(0))).collect()));
    let go = release(&shares(0b111), &holding(Part::Singles(0b111), 0b011), 0b001, &me).unwrap();
    assert_eq!(go.left, Part::Singles(0b101));
    assert_eq!(release(&shares(0b111), &holding(Part::Singles(0b111), 0b001), 0b001, &me), None);
}

#[test]
fn a_block_that_is_not_as_the_holdings_say_is_left_to_be_reconciled() {
    let me = sample::node("me");
    let yours = stored(sample::node("you").held(4));
    assert_eq!(release(&yours, &holding(Part::Whole, WHOLE_MASK), 0, &me), None);
    let shared = stored(BlockState::Shared(offsets(1).map(|o| (o, me.share(0))).collect()));
    assert_eq!(release(&shared, &holding(Part::Whole, WHOLE_MASK), 0, &me), None);
    assert_eq!(release(&shared, &holding(Part::Singles(3), 3), 0, &me), None);
}
