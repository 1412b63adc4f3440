use manifold_crds::ipam::PoolSpec;
use proptest::prelude::*;

use super::*;

const GOLDEN: &str = "\
manifold-addresses holdings 1
domain default node u-7 store 0123456789abcdef0123456789abcdef
block 10.1.7.16 whole closing=ffff withheld=0080 boot=b-1 at=17
block 10.1.9.32 000c closing=0004 withheld=0000 boot=b-1 at=18
block fd00:0000:0000:0000:0000:0000:0000:00a0 8000 closing=0000 withheld=0000 boot=b-0 at=0
crc32 43457531
";

fn at(boot: &str, seconds: Seconds) -> Moment {
    Moment { boot: boot.parse().unwrap(), seconds }
}

fn sample() -> Holdings {
    let mut holdings = Holdings::new(Domain::default(), &crate::api::sample::node("u-7"));
    let v6 = BlockCidr::of("fd00::a0".parse().unwrap());
    holdings.take(block(), Part::Whole, 0x80, &at("b-1", 17));
    holdings.take("10.1.9.32".parse().unwrap(), Part::Singles(0b1100), 0, &at("b-1", 18));
    holdings.take(v6, Part::Singles(0x8000), 0, &at("b-0", 0));
    holdings.close(block(), WHOLE_MASK);
    holdings.close("10.1.9.32".parse().unwrap(), 0b0111);
    holdings
}

fn block() -> BlockCidr {
    "10.1.7.16".parse().unwrap()
}

// Shows part of: IPAM-67
#[test]
fn the_format_is_the_one_that_releases_wrote() {
    assert_eq!(String::from_utf8(sample().encode()).unwrap(), GOLDEN);
    assert_eq!(Holdings::decode(GOLDEN.as_bytes()), Ok(sample()));
}

// Shows part of: IPAM-67
#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let whole = sample().encode();
    for end in 0..whole.len() {
        assert!(Holdings::decode(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(Holdings::decode(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut longer = whole.clone();
    longer.extend(b"block 10.1.7.32 whole\n");
    assert_eq!(Holdings::decode(&longer), Err(Damage::Torn));
}

#[test]
fn a_right_checksum_over_nonsense_is_no_holdings() {
    let lines = |more: &str| {
        file::seal(
            KIND,
            &["domain default node u store 0123456789abcdef0123456789abcdef".to_owned(), more.to_owned()],
        )
    };
    for line in [
        "",
        "block 10.1.7.17 whole closing=0000 withheld=0000 boot=b at=1",
        "block 10.1.7.16 0000 closing=0000 withheld=0000 boot=b at=1",
        "block 10.1.7.16 whole closing=0 withheld=0000 boot=b at=1",
        "block 10.1.7.16 whole closing=0000 withheld=0000 boot=../x at=1",
        "block 10.1.7.16 whole closing=0000 withheld=0000 boot=b at=1 more",
        "block 10.1.7.16 whole closing=0000 withheld=0000 boot=b at=-1",
    ] {
        assert_eq!(Holdings::decode(&lines(line)), Err(Damage::Line(3)), "{line:?}");
    }
    assert_eq!(Holdings::decode(&file::seal("lease", &[])), Err(Damage::Alien("holdings")));
    assert_eq!(Holdings::decode(&file::seal(KIND, &[])), Err(Damage::Line(2)));
    let newer = String::from_utf8(sample().encode()).unwrap().replace("holdings 1", "holdings 2");
    let body = newer.rsplit_once("crc32").unwrap().0;
    let newer = format!("{body}crc32 {:08x}\n", crc32fast::hash(body.as_bytes()));
    assert_eq!(Holdings::decode(newer.as_bytes()), Err(Damage::Newer(2)));
}

// Shows part of: IPAM-59
#[test]
fn holdings_count_in_their_boot_and_for_a_day() {
    let mut holdings = Holdings::new(Domain::default(), &crate::api::sample::node("u-7"));
    holdings.take(block(), Part::Whole, 0, &at("b-1", 100));
    let pool = Pool::read(&PoolSpec::of_subnet("10.1.7.0/24")).unwrap();
    let givable = |now: &Moment| holdings.givable(block(), &pool, &Leases::default(), now);
    assert_eq!(givable(&at("b-1", 100)), WHOLE_MASK);
    assert_eq!(givable(&at("b-1", 99 + CONFIRMED_FOR_SECONDS)), WHOLE_MASK);
    assert_eq!(givable(&at("b-1", 100 + CONFIRMED_FOR_SECONDS)), 0);
    assert_eq!(givable(&at("b-2", 100)), 0);
}

// Shows part of: IPAM-59
#[test]
fn holdings_of_another_node_object_or_folder_count_for_nothing_until_confirmed() {
    let now = at("b", 1);
    let mut holdings = Holdings::new(Domain::default(), &crate::api::sample::node("u-7"));
    holdings.take(block(), Part::Whole, 0, &now);
    let same = Holdings::decode(&holdings.encode()).unwrap().of(&crate::api::sample::node("u-7"));
    assert_eq!(same.get(block()).unwrap().open_mask(&now), WHOLE_MASK);
    let other = holdings.of(&crate::api::sample::node("u-8"));
    let other = Holdings::decode(&other.encode()).unwrap();
    assert_eq!(other.get(block()).unwrap().open_mask(&now), 0);
}

// Shows part of: IPAM-68
#[test]
fn what_leaves_is_not_given_whatever_a_read_shows() {
    let mut holdings = Holdings::new(Domain::default(), &crate::api::sample::node("u-7"));
    let now = at("b", 1);
    holdings.take(block(), Part::Whole, 0, &now);
    holdings.close(block(), 0x00ff);
    holdings.confirm(block(), 0, &now);
    let mut holdings = Holdings::decode(&holdings.encode()).unwrap();
    assert_eq!(holdings.get(block()).unwrap().open_mask(&now), 0xff00);
    holdings.shrink(block(), 0xf00f);
    assert_eq!(holdings.get(block()).unwrap().open_mask(&now), 0xf000);
    assert!(holdings.contains("10.1.7.17".parse().unwrap()), "CHECK of a lease that is there still");
    holdings.take(block(), Part::Singles(0x000f), 0, &now);
    assert_eq!(holdings.get(block()).unwrap().open_mask(&now), 0x000f);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(lines in proptest::collection::vec("\\PC*", 0..5), bytes: Vec<u8>) {
        let _ = Holdings::decode(&bytes);
        let _ = Holdings::decode(&file::seal(KIND, &lines));
        let _ = crate::lease::Lease::decode(&file::seal("lease", &lines));
        let _ = crate::intent::Intent::decode(&file::seal("intent", &lines));
    }
}

/// Found by the hostile corpus.
#[test]
fn what_means_the_same_in_another_form_is_no_file_of_ours() {
    let owner = format!("domain default node u-1 store {}", "0".repeat(32));
    let [first, second] =
        ["10.1.7.16", "10.1.7.32"].map(|b| format!("block {b} whole closing=0000 withheld=0000"));
    let sealed = |lines: &[String]| file::seal("holdings", lines);
    let read = |lines: &[String]| Holdings::decode(&sealed(lines)).map(|_| ());
    assert_eq!(read(&[owner.clone(), first.clone(), second.clone()]), Ok(()));
    assert_eq!(read(&[owner.clone(), second, first.clone()]), Err(Damage::Line(3)));
    assert_eq!(read(&[owner.clone(), format!("{first} boot=b at=007")]), Err(Damage::Line(3)));
    assert!(read(&[format!("{owner}\r"), format!("{first}\r")]).is_err());
    let padded = String::from_utf8(sealed(&[owner])).unwrap().replace("holdings 1", "holdings 01");
    let body = padded.split("crc32").next().unwrap();
    let file = format!("{body}crc32 {:08x}\n", crc32fast::hash(body.as_bytes()));
    assert_eq!(Holdings::decode(file.as_bytes()), Err(Damage::Alien("holdings")));
}
