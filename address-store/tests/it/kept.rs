//! Addresses that an IPAMClaim keeps.

use std::net::IpAddr;

use manifold_address_store::kept::{IpamClaim, KeptRequest, obtain_kept};
use manifold_address_store::no_address::NoAddress;
use manifold_crds::ipam::{BlockCidr, Claim};

use crate::bed::{Bed, Node, assert_unique, pool, request, run, soon};

fn claim(name: &str) -> IpamClaim {
    IpamClaim {
        id: Claim { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}") },
        network: String::new(),
        interface: String::new(),
        ips: Vec::new(),
        object: serde_json::Value::Null,
    }
}

fn keep(node: &Node<'_>, container: &str, name: &str) -> Result<IpAddr, NoAddress> {
    let small = pool("10.2.0.0/16", "10.2.1.0", "10.2.1.3");
    let wanted = KeptRequest {
        pod: "vm-a".into(),
        namespace: "shop".parse().unwrap(),
        claim: name.parse().unwrap(),
        networks: vec!["storage".into()],
        requests: vec![request(container, "net1", &small)],
    };
    run(obtain_kept(&node.store, node.api, &wanted, soon())).map(|all| all[0])
}

// Shows part of: IPAM-52, IPAM-53, IPAM-54
#[test]
fn a_claims_address_is_the_same_on_every_node_and_stays_without_pods() {
    let bed = Bed::new();
    let (a, b) = (bed.node("a"), bed.node("b"));
    bed.api.put_claim("vm", &claim("vm"));
    let ip = keep(&a, "source", "vm").unwrap();
    assert_eq!(bed.api.claim_owner("vm").as_deref(), Some("vm-a"), "the schema of claims requires an owner");
    // Both pods of a live migration at once; and two of it on one node.
    assert_eq!(keep(&b, "target", "vm").unwrap(), ip);
    assert_eq!(keep(&a, "third", "vm").unwrap(), ip);
    a.del("source");
    assert_eq!(b.leases(), [(ip, "target".to_owned())]);
    assert_eq!(a.leases(), [(ip, "third".to_owned())]);
    a.del("third");
    b.del("target");
    // Nobody else gets it, though no pod has it.
    let three = pool("10.2.0.0/16", "10.2.1.0", "10.2.1.3");
    for n in 0..3 {
        assert_ne!(a.add(&format!("c{n}"), &three).unwrap(), ip);
    }
    assert!(matches!(a.add("more", &three).unwrap_err(), NoAddress::Full(_)));
    assert_eq!(keep(&b, "again", "vm").unwrap(), ip);
    let named =
        manifold_address_store::give::AddressRequest { by_name: Some(ip), ..request("x", "net1", &three) };
    let error = a.obtain(&[named]).unwrap_err().to_string();
    assert!(error.contains("IPAMClaim `shop/vm` keeps it"), "{error}");
    b.del("again");
    assert_unique(&[a, b]);
}

// Shows part of: IPAM-52
#[test]
fn a_missing_claim_is_11_and_anothers_is_7() {
    let bed = Bed::new();
    let node = bed.node("a");
    let code = |name: &str| manifold_cni::CniError::from(keep(&node, "c", name).unwrap_err()).code;
    assert_eq!(code("none"), 11);
    bed.api.put_claim("net", &IpamClaim { network: "other".into(), ..claim("net") });
    bed.api.put_claim("if", &IpamClaim { interface: "net7".into(), ..claim("if") });
    bed.api.put_claim("elsewhere", &IpamClaim { ips: vec!["10.9.9.9/24".into()], ..claim("elsewhere") });
    bed.api.put_claim("odd", &IpamClaim { ips: vec!["x".into()], ..claim("odd") });
    for name in ["net", "if", "elsewhere", "odd"] {
        assert_eq!(code(name), 7, "{name}");
    }
    assert_eq!(node.leases(), []);
}

// Shows part of: IPAM-52
#[test]
fn a_claim_with_addresses_gets_exactly_these_unless_somebody_has_them() {
    let bed = Bed::new();
    let (a, b) = (bed.node("a"), bed.node("b"));
    bed.api.put_claim("vm", &IpamClaim { ips: vec!["10.2.1.2/16".into()], ..claim("vm") });
    let ip: IpAddr = "10.2.1.2".parse().unwrap();
    assert_eq!(keep(&a, "c", "vm").unwrap(), ip);
    let stored = bed.api.all().into_iter().find(|s| s.spec.cidr == BlockCidr::of(ip)).unwrap();
    assert_eq!(stored.spec.nodes().len(), 0, "it is the claim's and no node's");
    bed.api.put_claim("late", &IpamClaim { ips: vec!["10.2.1.2/16".into()], ..claim("late") });
    let error = keep(&b, "d", "late").unwrap_err();
    assert!(error.to_string().contains("IPAMClaim `shop/vm` keeps it"), "{error}");
    assert_eq!(b.leases(), []);
}
