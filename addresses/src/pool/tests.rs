use super::*;

fn pool(subnet: &str, change: impl FnOnce(&mut PoolSpec)) -> Result<Pool, PoolProblem> {
    let mut spec = PoolSpec::of_subnet(subnet);
    change(&mut spec);
    Pool::read(&spec)
}

fn range(start: &str, end: &str) -> RangeSpec {
    RangeSpec { start: start.into(), end: end.into() }
}

fn ip(raw: &str) -> IpAddr {
    raw.parse().unwrap()
}

// Shows part of: IPAM-5
#[test]
fn what_has_another_meaning_is_never_given() {
    let pool = pool("10.9.0.0/29", |p| {
        p.gateway = Some("10.9.0.1".into());
        p.exclude = vec!["10.9.0.3".into()];
        p.fixed = vec![range("10.9.0.6", "10.9.0.7")];
    })
    .unwrap();
    let given: Vec<u8> = (0..8).filter(|n| pool.ordinary.contains(IpAddr::from([10, 9, 0, *n]))).collect();
    assert_eq!(given, [2, 4, 5]);
    assert_eq!(pool.check_requested(ip("10.9.0.2")), Ok(()));
    assert_eq!(pool.check_requested(ip("10.9.0.6")), Ok(()), "a fixed address is given by name");
    for (raw, why) in [
        ("10.9.0.0", NeverGiven::Outside),
        ("10.9.0.7", NeverGiven::Outside),
        ("10.9.0.8", NeverGiven::Outside),
        ("fd00::1", NeverGiven::Outside),
        ("10.9.0.1", NeverGiven::Gateway),
        ("10.9.0.3", NeverGiven::Excluded),
    ] {
        assert_eq!(pool.check_requested(ip(raw)), Err(why), "{raw}");
    }
    assert!(!pool.may_be_held(BlockCidr::of(ip("10.9.0.2"))), "fixed addresses lie there");
}

#[test]
fn ipv6_has_no_broadcast_address() {
    let pool = pool("fd00::/124", |_| ()).unwrap();
    assert_eq!((pool.ordinary.count(), pool.ordinary.contains(ip("fd00::f"))), (15, true));
}

#[test]
fn a_slip_gets_one_sentence_with_its_place_and_the_remedy() {
    type Change = fn(&mut PoolSpec);
    let cases: [(&str, Change, &str, &str); 19] = [
        ("", |_| (), "subnet", "use one"),
        ("10.1.0.0", |_| (), "subnet", "is not a subnet"),
        ("10.1.0.1/24", |_| (), "subnet", "write `10.1.0.0/24`"),
        ("10.1.0.0/31", |_| (), "subnet", "/30 or shorter"),
        ("fd00::/127", |_| (), "subnet", "/126 or shorter"),
        ("::ffff:10.1.0.0/120", |_| (), "subnet", "IPv4 address in IPv6 form"),
        ("224.0.0.0/8", |_| (), "subnet", "multicast"),
        ("10.1.0.0/24", |p| p.gateway = Some("10.2.0.1".into()), "gateway", "outside `10.1.0.0/24`"),
        ("10.1.0.0/24", |p| p.gateway = Some("fd00::1".into()), "gateway", "outside"),
        ("10.1.0.0/24", |p| p.gateway = Some("\u{202e}".into()), "gateway", "is not an IP address"),
        ("10.1.0.0/24", |p| p.ranges = vec![range("10.1.0.9", "10.1.0.2")], "ranges[0]", "swap them"),
        ("10.1.0.0/24", |p| p.ranges = vec![range("10.1.0.2", "10.1.1.2")], "ranges[0].end", "outside"),
        (
            "10.1.0.0/24",
            |p| p.ranges = vec![range("", "10.1.0.2")],
            "ranges[0].start",
            "is not an IP address",
        ),
        (
            "10.1.0.0/24",
            |p| p.ranges = vec![range("10.1.0.2", "10.1.0.9"), range("10.1.0.9", "10.1.0.12")],
            "ranges[1]",
            "keep them apart",
        ),
        ("10.1.0.0/24", |p| p.exclude = vec!["10.1.0.0/24".into()], "ranges", "nothing is left"),
        (
            "10.1.0.0/24",
            |p| p.exclude = vec!["10.1.0.5-9".into()],
            "exclude[0]",
            "neither a CIDR nor an address",
        ),
        ("10.1.0.0/24", |p| p.exclude = vec!["fd00::1".into()], "exclude[0]", "another family"),
        ("10.1.0.0/24", |p| p.reuse_after_seconds = 90_000, "reuseAfterSeconds", "at most 86400"),
        ("10.1.0.0/24", |p| p.reclaim_after_seconds = 59, "reclaimAfterSeconds", "from 60"),
    ];
    for (subnet, change, field, part) in cases {
        let error = pool(subnet, change).expect_err(subnet);
        assert_eq!(error.field, field, "{error}");
        assert!(error.sentence.contains(part), "{error}");
        assert!(!error.to_string().chars().any(|c| c.is_control() || c == '\u{202e}'), "{error:?}");
    }
}

#[test]
fn host_bits_of_an_exclusion_and_one_outside_are_no_fault() {
    let pool =
        pool("10.1.0.0/24", |p| p.exclude = vec!["10.1.0.77/28".into(), "10.7.0.0/16".into()]).unwrap();
    assert_eq!(pool.ordinary.count(), 254 - 16);
    assert!(!pool.ordinary.contains(ip("10.1.0.64")) && pool.ordinary.contains(ip("10.1.0.80")));
}
