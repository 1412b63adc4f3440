//! Addresses that are asked for by name.

use manifold_address_store::give::AddressRequest;
use manifold_address_store::no_address::NoAddress;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{PoolSpec, RangeSpec};

use crate::bed::{Bed, Node, assert_unique, request};

fn pool() -> Pool {
    let fixed = vec![RangeSpec { start: "10.1.9.0".into(), end: "10.1.9.255".into() }];
    let spec = PoolSpec {
        fixed,
        gateway: Some("10.1.0.1".into()),
        exclude: vec!["10.1.5.0/24".into()],
        ..PoolSpec::of_subnet("10.1.0.0/16")
    };
    Pool::read(&spec).unwrap()
}

fn add(node: &Node<'_>, container: &str, ip: &str) -> Result<String, NoAddress> {
    let by_name = Some(ip.parse().unwrap());
    let request = AddressRequest { by_name, ..request(container, "net1", &pool()) };
    node.obtain(&[request]).map(|all| all[0].to_string())
}

// Shows part of: IPAM-48, IPAM-49
#[test]
fn exactly_the_named_address_is_given_and_only_once_in_the_cluster() {
    let bed = Bed::new();
    let (a, b) = (bed.node("a"), bed.node("b"));
    for ip in ["10.1.7.9", "10.1.9.1", "10.1.9.2"] {
        assert_eq!(add(&a, &format!("a-{ip}"), ip).unwrap(), ip);
        let here = add(&a, "x", ip).unwrap_err();
        assert!(here.to_string().contains("container `a-10"), "{here}");
        let there = add(&b, "y", ip).unwrap_err();
        assert!(there.to_string().contains("node `a` has it"), "{there}");
    }
    for (ip, why) in [("10.1.0.1", "gateway"), ("10.1.5.7", "excluded"), ("10.2.0.7", "subnet")] {
        let error = add(&a, "x", ip).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(manifold_cni::CniError::from(error).code, 7);
    }
    assert_unique(&[a, b]);
}

// Shows part of: IPAM-48
#[test]
fn one_in_the_block_of_another_node_says_who_holds_it() {
    let bed = Bed::new();
    let (a, b) = (bed.node("a"), bed.node("b"));
    a.add("c", &pool()).unwrap();
    let (block, _) = a.holdings().iter().next().map(|(b, h)| (b, h.clone())).unwrap();
    let leased = a.leases()[0].0;
    let free = manifold_crds::ipam::Offset::all()
        .map(|o| block.address(o))
        .find(|ip| *ip != leased && pool().ordinary.contains(*ip))
        .unwrap();
    let error = add(&b, "d", &free.to_string()).unwrap_err();
    assert!(error.to_string().contains("node `a` holds its block"), "{error}");
    assert_eq!(manifold_cni::CniError::from(error).code, 11);
    assert_eq!(add(&a, "d", &free.to_string()).unwrap(), free.to_string());
    assert_unique(&[a, b]);
}
