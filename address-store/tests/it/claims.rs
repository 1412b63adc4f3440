//! Claims: how many requests, what comes of lost ones, and that n addresses serve n pods.

use std::collections::BTreeSet;

use manifold_address_store::PoolObject;
use manifold_address_store::no_address::NoAddress;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Mode, PoolSpec, PoolStatus};

use crate::bed::{Bed, assert_unique, large, pool, request};
use crate::file_api::Fault;

// Shows part of: IPAM-38, IPAM-39
#[test]
fn the_first_pod_makes_one_request_and_the_next_fifteen_none() {
    let bed = Bed::new();
    let node = bed.node("a");
    let pool = Pool::read(&PoolSpec { mode: Mode::Blocks, ..PoolSpec::of_subnet("10.1.0.0/16") }).unwrap();
    let first = node.add("c0", &pool).unwrap();
    assert_eq!(bed.api.requests().len(), 1, "{:?}", bed.api.requests());
    bed.api.is_down.set(true);
    let mut seen = BTreeSet::from([first]);
    let free = node.holdings().iter().map(|(block, _)| pool.ordinary.mask(block).count_ones()).sum::<u32>();
    for n in 1..free {
        assert!(seen.insert(node.add(&format!("c{n}"), &pool).unwrap()));
    }
    let error = node.add("more", &pool).unwrap_err();
    assert!(matches!(error, NoAddress::Api(_)), "{error}");
    assert_eq!(node.leases().len(), free as usize);
}

// Shows part of: IPAM-39
#[test]
fn sixteen_interfaces_need_two_requests_in_either_mode() {
    for mode in [Mode::Blocks, Mode::Singles] {
        let bed = Bed::new();
        let node = bed.node("a");
        let spec = PoolSpec { mode, ..PoolSpec::of_subnet("fd00::/64") };
        let pool = Pool::read(&spec).unwrap();
        let names: Vec<String> = (0..16).map(|n| format!("net{n}")).collect();
        let requests: Vec<_> = names.iter().map(|name| request("c", name, &pool)).collect();
        let given: BTreeSet<_> = node.obtain(&requests).unwrap().into_iter().collect();
        assert_eq!(given.len(), 16);
        assert!(bed.api.requests().len() <= 2, "{mode:?}: {:?}", bed.api.requests());
    }
}

// Shows part of: IPAM-43
#[test]
fn n_addresses_serve_n_pods_on_any_number_of_nodes_and_one_more_hears_why_not() {
    for (n, nodes) in [(1, 2), (2, 2), (13, 20), (14, 3), (16, 5), (17, 2), (254, 7)] {
        let bed = Bed::new();
        let nodes: Vec<_> = (0..nodes).map(|n| bed.node(&format!("n{n}"))).collect();
        let pool = pool("10.2.0.0/16", "10.2.1.0", &format!("10.2.1.{}", n - 1));
        let mut seen = BTreeSet::new();
        for pod in 0..n {
            assert!(seen.insert(nodes[pod % nodes.len()].add(&format!("c{pod}"), &pool).unwrap()), "{n}");
        }
        assert_unique(&nodes);
        let error = nodes[0].add("more", &pool).unwrap_err().to_string();
        for part in ["no free address", &format!("{n} in all"), "add a range"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(nodes[0].leases().iter().filter(|(_, c)| c == "more").count(), 0);
        // One goes, and what its node gives back starts the pod that waits.
        let last = &nodes[(n - 1) % nodes.len()];
        let (gone, container) = last.leases()[0].clone();
        last.del(&container);
        last.session(async |session| {
            let block = manifold_crds::ipam::BlockCidr::of(gone);
            session.release(block, u16::MAX, 0).await.unwrap();
        });
        assert_eq!(nodes[0].add("more", &pool).unwrap(), gone);
        assert_unique(&nodes);
    }
}

// Shows part of: IPAM-64
#[test]
fn a_request_or_an_answer_that_is_lost_leaves_nothing_held_in_vain() {
    for fault in [Fault::RequestLost, Fault::AnswerLost] {
        for spec in [PoolSpec::of_subnet("10.1.0.0/16"), PoolSpec::of_subnet("10.3.0.0/26")] {
            let bed = Bed::new();
            let (node, other) = (bed.node("a"), bed.node("b"));
            let pool = Pool::read(&spec).unwrap();
            bed.api.fault.set(Some((0, fault)));
            // One GET tells, so the pod starts all the same.
            let ip = node.add("c", &pool).unwrap();
            let theirs = other.add("d", &pool).unwrap();
            assert_ne!(ip, theirs);
            assert_unique(&[bed.node("a"), bed.node("b")]);
            let intents = std::fs::read_dir(node.folder().path()).unwrap();
            let names = intents.map(|e| e.unwrap().file_name().into_string().unwrap());
            assert_eq!(names.filter(|name| name.starts_with("intent.")).count(), 0, "{fault:?}");
        }
    }
}

#[test]
fn what_was_claimed_without_an_answer_is_taken_up_by_whoever_claims_next() {
    let bed = Bed::new();
    let node = bed.node("a");
    bed.api.fault.set(Some((0, Fault::AnswerLost)));
    node.session(async |session| {
        let pool = large();
        let claim = manifold_address_store::session::Claim {
            pool: &pool,
            want: manifold_addresses::claim::Want::Block,
            reads_first: false,
            only_new: false,
        };
        let block = "10.1.7.16".parse().unwrap();
        // Neither the answer nor the GET after it comes.
        let claimed = session.claim(block, &claim);
        bed.api.is_down.set(false);
        let _ = claimed.await;
    });
    node.settle();
    assert_eq!(bed.api.all().len(), 1);
    assert!(node.give("c", &large()).is_some());
    assert_unique(&[node]);
}

// Shows part of: IPAM-59
#[test]
fn what_was_confirmed_in_another_boot_is_asked_for_before_it_is_given() {
    let bed = Bed::new();
    let node = bed.node("a");
    let pool = large();
    node.add("c", &pool).unwrap();
    let path = node.folder().path().join("holdings");
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let boot = text.split(" boot=").nth(1).unwrap().split(' ').next().unwrap();
    let body = text.split("crc32").next().unwrap().replace(boot, "another-boot");
    let lines: Vec<String> = body.lines().skip(1).map(str::to_owned).collect();
    std::fs::write(&path, manifold_addresses::file::seal("holdings", &lines)).unwrap();
    assert_eq!(node.give("d", &pool), None);
    bed.api.forget_requests();
    node.add("d", &pool).unwrap();
    let requests = bed.api.requests();
    assert_eq!((requests.len(), requests[0].starts_with("get ")), (2, true), "{requests:?}");
    assert_unique(&[node]);
}

// Shows part of: IPAM-31, IPAM-36
#[test]
fn a_pool_by_name_is_read_at_each_claim_and_mirrored() {
    let bed = Bed::new();
    let node = bed.node("a");
    let spec = PoolSpec { max_per_node: 2, ..PoolSpec::of_subnet("10.1.0.0/16") };
    let put = |spec: &PoolSpec| {
        bed.api.put_pool("storage", &PoolObject { spec: spec.clone(), status: PoolStatus::default() });
    };
    let of_pool = |container: &str| {
        let mut request = request(container, "net1", &Pool::read(&spec).unwrap());
        request.pools[0].object = Some("storage".parse().unwrap());
        request.pools[0].is_named = true;
        node.obtain(&[request]).map(|all| all[0])
    };
    assert!(matches!(of_pool("a").unwrap_err(), NoAddress::NoPool(name) if name == "storage"));
    put(&spec);
    of_pool("a").unwrap();
    of_pool("b").unwrap();
    let error = of_pool("c").unwrap_err().to_string();
    assert!(error.contains("2 addresses") && error.contains("maxPerNode"), "{error}");
    assert_eq!(node.store.mirror(&"storage".parse().unwrap()).unwrap().unwrap().spec, spec);
    put(&PoolSpec { paused: true, ..spec.clone() });
    let error = of_pool("c").unwrap_err().to_string();
    assert!(error.contains("`storage` is paused"), "{error}");
    put(&PoolSpec { max_per_node: 0, ..spec.clone() });
    of_pool("c").unwrap();
}

// Proves: IPAM-8
#[test]
fn if_one_family_has_no_address_the_other_is_released() {
    let bed = Bed::new();
    let node = bed.node("a");
    let (v4, v6) = (large(), pool("fd00::/64", "fd00::10", "fd00::10"));
    let both = |container: &str| [request(container, "net1", &v4), request(container, "net1", &v6)];
    assert_eq!(node.obtain(&both("a")).unwrap().len(), 2);
    let error = node.obtain(&both("b")).unwrap_err().to_string();
    assert!(error.contains("fd00::/64"), "{error}");
    assert_eq!(node.leases().iter().filter(|(_, c)| c == "b").count(), 0);
    node.del("a");
    assert_eq!(node.obtain(&both("b")).unwrap().len(), 2);
}

// Proves: IPAM-42
#[test]
fn a_freed_address_comes_last_and_not_before_it_has_rested() {
    let bed = Bed::new();
    let node = bed.node("a");
    let three = pool("10.2.0.0/16", "10.2.1.0", "10.2.1.2");
    // All three are held here, for nobody gives them back.
    let first = ["a", "b", "c"].map(|name| node.add(name, &three).unwrap());
    ["a", "b", "c"].iter().for_each(|name| node.del(name));
    let names: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    let given: Vec<_> = names
        .iter()
        .map(|name| {
            let ip = node.add(name, &three).unwrap();
            node.del(name);
            ip
        })
        .collect();
    for (n, ip) in given.iter().enumerate() {
        assert_eq!(first[n % 3], *ip, "{given:?}");
    }
    let resting = Pool { reuse_after_seconds: 86_400, ..three };
    let error = node.add("more", &resting).unwrap_err().to_string();
    assert!(error.contains("3 on this node rest for up to 86400 s"), "{error}");
    assert!(node.folder().short_for(&manifold_address_store::clock::now().unwrap()).unwrap().is_some());
}

// Shows part of: IPAM-14
#[test]
fn the_size_of_a_range_costs_nothing() {
    let bed = Bed::new();
    let node = bed.node("a");
    let end = pool("fd00::/64", "fd00::ffff:ffff:ffff:fff0", "fd00::ffff:ffff:ffff:ffff");
    let given: BTreeSet<_> = (0..16).map(|n| node.add(&format!("c{n}"), &end).unwrap()).collect();
    assert!(given.contains(&"fd00::ffff:ffff:ffff:ffff".parse().unwrap()));
    let huge = Pool::read(&PoolSpec { exclude: vec!["fd01::1".into()], ..PoolSpec::of_subnet("fd01::/32") })
        .unwrap();
    bed.api.forget_requests();
    for n in 0..3 {
        node.add(&format!("h{n}"), &huge).unwrap();
    }
    assert_eq!(bed.api.requests().len(), 1, "{:?}", bed.api.requests());
}
