use manifold_crds::ipam::{Domain, PoolSpec};

use super::*;
use crate::holdings::Part;

fn at(seconds: u64) -> Moment {
    Moment { boot: "b".parse().unwrap(), seconds }
}

fn pool(change: impl FnOnce(&mut PoolSpec)) -> Pool {
    let mut spec = PoolSpec::of_subnet("10.1.0.0/28");
    spec.gateway = Some("10.1.0.1".into());
    change(&mut spec);
    Pool::read(&spec).unwrap()
}

fn held(mask: u16) -> Holdings {
    let mut holdings = Holdings::new(Domain::default(), &crate::api::sample::node("u-7"));
    let part = if mask == u16::MAX { Part::Whole } else { Part::Singles(mask) };
    holdings.take("10.1.0.0".parse().unwrap(), part, 0, &at(0));
    holdings
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 1, 0, n])
}

#[test]
fn every_usable_address_is_given_once_in_a_circle() {
    let (pool, holdings, mut leases) = (pool(|_| ()), held(u16::MAX), Leases::default());
    let mut given = Vec::new();
    while let Ok(next) = next_address(&pool, &holdings, &leases, &at(1)) {
        leases.take(next);
        leases.set_last(next);
        given.push(next);
    }
    assert_eq!(given, (2..15).map(ip).collect::<Vec<_>>());
    leases.release(ip(4));
    leases.release(ip(9));
    leases.set_last(ip(4));
    assert_eq!(next_address(&pool, &holdings, &leases, &at(1)), Ok(ip(9)), "the one after the last");
}

// Shows part of: IPAM-42
#[test]
fn a_freed_address_rests_and_comes_last() {
    let (pool, holdings, mut leases) =
        (pool(|p| p.reuse_after_seconds = 60), held(0b11100), Leases::default());
    let next = |leases: &Leases, now| next_address(&pool, &holdings, leases, &at(now));
    leases.note_freed(ip(2), 100);
    leases.note_freed(ip(3), 90);
    assert_eq!(next(&leases, 500), Ok(ip(4)), "one that nobody had yet");
    leases.take(ip(4));
    assert_eq!(next(&leases, 500), Ok(ip(3)), "the longest free");
    assert_eq!(next(&leases, 150), Ok(ip(3)));
    assert_eq!(next(&leases, 149), Err(Shortage { cooling: 2, ..Shortage::default() }));
}

#[test]
fn what_must_be_confirmed_first_is_told_apart_from_what_is_missing() {
    let (pool, holdings) = (pool(|_| ()), held(0b1100));
    let reboot = Moment { boot: "c".parse().unwrap(), seconds: 1 };
    let shortage = next_address(&pool, &holdings, &Leases::default(), &reboot).unwrap_err();
    assert_eq!(shortage, Shortage { unconfirmed: 2, ..Shortage::default() });
    let paused = self::pool(|p| p.paused = true);
    assert!(next_address(&paused, &holdings, &Leases::default(), &at(1)).unwrap_err().paused);
}

#[test]
fn an_address_by_name_is_exactly_this_one() {
    let pool = pool(|p| p.exclude = vec!["10.1.0.5".into()]);
    let (mut holdings, mut leases) = (held(0b1111_1100), Leases::default());
    let ask = |holdings: &Holdings, leases: &Leases, n| requested(&pool, ip(n), holdings, leases, &at(1));
    assert_eq!(ask(&holdings, &leases, 2), Requested::Give);
    assert_eq!(ask(&holdings, &leases, 1), Requested::Refuse(NeverGiven::Gateway));
    assert_eq!(ask(&holdings, &leases, 5), Requested::Refuse(NeverGiven::Excluded));
    assert_eq!(ask(&holdings, &leases, 9), Requested::Claim(BlockCidr::of(ip(0))));
    leases.take(ip(2));
    assert_eq!(ask(&holdings, &leases, 2), Requested::Taken);
    holdings.close(BlockCidr::of(ip(0)), 0b1000);
    assert_eq!(ask(&holdings, &leases, 3), Requested::Claim(BlockCidr::of(ip(0))));
}
