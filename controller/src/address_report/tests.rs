use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockSpec, Domain, PoolSpec, PoolStatus};
use serde_json::{Value, json};

use super::facts::{Block, Claim, Facts, Shown};
use super::{check, facts, node, pool, who};

const STORE: &str = "0123456789abcdef0123456789abcdef";

fn share(node: &str) -> Value {
    json!({"node": node, "uid": format!("uid-{node}"), "store": STORE, "epoch": 0})
}

fn block(start: &str, rest: &Value) -> Block {
    let mut spec = json!({"domain": "default", "start": start});
    spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let spec: BlockSpec = serde_json::from_value(spec).unwrap();
    Block { name: spec.object_name(), labels: spec.labels(), spec: Some(spec) }
}

fn shared() -> Block {
    block(
        "10.1.0.16",
        &json!({"state": "Shared", "withheld": {"9": {"pod": "shop/stray"}}, "allocations": {
        "1": share("a"), "2": share("b"), "3": {"claim": {"namespace": "shop", "name": "vm", "uid": "c-1"}},
        "4": {"foreign": {"by": "x", "pod": "shop/old", "id": "p-old"}}}}),
    )
}

fn held() -> Block {
    block("10.1.0.32", &json!({"state": "Held", "holder": share("a"), "recall": {"reason": "PoolShort"}}))
}

fn shown(pod: &str, ip: &str) -> Shown {
    Shown {
        pod: format!("shop/{pod}"),
        uid: format!("p-{pod}"),
        network: "shop/left".into(),
        interface: "net1".into(),
        ip: ip.parse().unwrap(),
    }
}

/// Nothing differs.
fn facts() -> Facts {
    let set = |all: &[&str]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    Facts {
        blocks: vec![shared(), held()],
        claims: vec![Claim {
            name: "shop/vm".into(),
            uid: "c-1".into(),
            ips: vec!["10.1.0.19".parse().unwrap()],
        }],
        shown: vec![
            shown("one", "10.1.0.17"),
            shown("vm-1", "10.1.0.19"),
            shown("vm-2", "10.1.0.19"),
            shown("stray", "10.1.0.25"),
        ],
        pods: set(&["p-one", "p-vm-1", "p-vm-2", "p-stray", "p-old"]),
        nodes: set(&["uid-a", "uid-b"]),
        domains: BTreeMap::from([("shop/left".to_owned(), BTreeSet::from([Domain::default()]))]),
    }
}

// Shows part of: IPAM-84
#[test]
fn each_kind_of_difference_is_told_and_no_other() {
    assert_eq!(check::differences(&facts()), [""; 0]);
    assert_eq!(check::told(&[]), "blocks, pods and claims agree\n");
    type Plant = fn(&mut Facts);
    let planted: [(&str, Plant); 10] = [
        ("cannot be read", |f| f.blocks[0].spec = None),
        ("says that it is default.10-1-0-16", |f| f.blocks[0].name = "default.10-1-0-48".into()),
        ("other labels", |f| f.blocks[1].labels.clear()),
        ("a Node that is gone, UID uid-b", |f| f.nodes.retain(|uid| uid != "uid-b")),
        ("10.1.0.19 is kept for IPAMClaim shop/vm, which is gone", |f| f.claims.clear()),
        ("10.1.0.20 is kept for pod shop/old, which is gone", |f| f.pods.retain(|uid| uid != "p-old")),
        ("10.1.0.21 of domain default is shown by pod shop/x, and no block", |f| {
            f.shown.push(shown("x", "10.1.0.21"));
        }),
        ("10.9.0.1 of domain default is shown by pod shop/x, and no block", |f| {
            f.shown.push(shown("x", "10.9.0.1"));
        }),
        ("10.1.0.17 of domain default is shown by 2 pods: shop/one, shop/two", |f| {
            f.shown.push(shown("two", "10.1.0.17"));
        }),
        ("IPAMClaim shop/vm names 10.1.0.22", |f| f.claims[0].ips.push("10.1.0.22".parse().unwrap())),
    ];
    for (expected, plant) in planted {
        let mut facts = facts();
        plant(&mut facts);
        let told = check::differences(&facts);
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
        assert!(check::told(&told).ends_with(if told.len() == 1 {
            "1 difference\n"
        } else {
            "differences\n"
        }));
    }
    // What a pod shows of a network with another IPAM is nobody's business here.
    let mut facts = facts();
    facts.shown.push(Shown { network: "shop/other".into(), ..shown("x", "10.1.0.21") });
    assert_eq!(check::differences(&facts), [""; 0]);
}

#[test]
fn an_address_has_its_holder_and_its_pod() {
    let ip = |raw: &str| raw.parse::<IpAddr>().unwrap();
    let (domain, shared, held) = (Domain::default(), shared().spec.unwrap(), held().spec.unwrap());
    let told = |spec: &BlockSpec, raw: &str| {
        let holder = who::holder(spec, ip(raw));
        who::told(ip(raw), &domain, holder.as_ref(), &facts().shown)
    };
    assert_eq!(
        told(&shared, "10.1.0.17"),
        "10.1.0.17 (domain default): pod shop/one, interface net1, network shop/left, on node a\n"
    );
    assert_eq!(
        told(&shared, "10.1.0.18"),
        "10.1.0.18 (domain default): held by node b; no pod there shows it\n"
    );
    assert_eq!(told(&shared, "10.1.0.19"), "10.1.0.19 (domain default): IPAMClaim shop/vm\n");
    assert!(told(&shared, "10.1.0.20").contains("pod shop/old"));
    assert!(told(&shared, "10.1.0.25").contains("pod shop/stray"));
    assert!(told(&shared, "10.1.0.22").contains("free, and held by no node"));
    assert!(told(&held, "10.1.0.40").contains("held by node a"));
}

#[test]
fn a_node_and_a_pool_have_their_tables() {
    let (blocks, shown) = (vec![shared(), held()], facts().shown);
    let of_node = node::told("a", "uid-a", &blocks, &shown);
    let rows: Vec<Vec<&str>> = of_node.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["default", "10.1.0.16", "Shared", "1", "1", "0"]);
    assert_eq!(rows[2], ["default", "10.1.0.32", "Held", "16", "0", "16", "PoolShort"]);
    assert!(node::told("c", "uid-c", &blocks, &shown).contains("has no address"));
    let read = Pool::read(&PoolSpec::of_subnet("10.1.0.0/26")).unwrap();
    let held = pool::held(&read, &blocks);
    let status = PoolStatus { total: 62, used: 4, idle: 16, free: 42, nodes: 2, ..PoolStatus::default() };
    let of_pool = pool::told("storage", &status, &held, &[], Some(&shown));
    let rows: Vec<Vec<&str>> = of_pool.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "storage: 62 addresses, 4 used, 16 idle on 2 nodes, 42 free");
    assert_eq!(
        (rows[2].clone(), rows[3].clone()),
        (vec!["a", "2", "17", "1", "16"], vec!["b", "1", "1", "0", "1"])
    );
    assert!(pool::told("storage", &status, &held, &[], None).contains('-'));
}

#[test]
fn the_domains_of_a_network_are_those_of_its_sources() {
    let pools = [crate::address_objects::StoredPool {
        name: "storage".into(),
        spec: PoolSpec { domain: "wire-2".parse().unwrap(), ..PoolSpec::of_subnet("10.2.0.0/24") },
        status: PoolStatus::default(),
    }];
    let of = |ipam: &str| {
        let config = format!(r#"{{"plugins":[{{"type":"macvlan","ipam":{{{ipam}}}}},{{"type":"tuning"}}]}}"#);
        facts::domains_of(&config, &pools).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of(r#""type":"cluster-local","subnet":"10.1.0.0/24""#), ["default"]);
    assert_eq!(of(r#""type":"cluster-local","pools":["storage","missing"]"#), ["wire-2"]);
    assert_eq!(of(r#""type":"host-local","subnet":"10.1.0.0/24""#), [""; 0]);
}
