//! Who has which address: a node writes what is its own (L), people write nothing (M), and a claim's addresses stay (N).

use serde_json::{Value, json};

use super::{A2, Case, L, M, N};
use crate::attempt::{Attempt, Then};
use crate::bed::{NODE_A, NODE_B};
use crate::identity::Who;
use crate::patch::How;

const POOLS: &str = "/apis/ipam.manifold.network/v1alpha1/addresspools";
const LABEL_OF_A: &str = "held-by.ipam.manifold.network/$A";
const LABEL_OF_B: &str = "held-by.ipam.manifold.network/$B";
/// All ways that can take something away as well: an apply only takes away what it has said before.
const REMOVING: [How; 3] = [How::Put, How::Merge, How::Json];
const ALL: [How; 4] = [How::Put, How::Merge, How::Json, How::Apply];

/// `$A` and `$B` are the UIDs of the two nodes.
fn identity(node: &str, uid: &str) -> Value {
    json!({"node": node, "uid": uid, "store": "0123456789abcdef0123456789abcdef", "epoch": 0})
}

fn a() -> Value {
    identity(NODE_A, "$A")
}

fn b() -> Value {
    identity(NODE_B, "$B")
}

fn claim() -> Value {
    json!({"claim": {"namespace": "shop", "name": "vm", "uid": "c-1"}})
}

fn foreign() -> Value {
    json!({"foreign": {"by": "somebody", "pod": "shop/old", "id": "p-1"}})
}

/// One address for each of those who can have one, and 2 of `node-a`.
fn shared() -> Value {
    json!({"state": "Shared", "allocations": {"1": a(), "2": a(), "3": b(), "4": claim(), "5": foreign()}})
}

fn held(holder: Value) -> Value {
    json!({"state": "Held", "holder": holder})
}

fn recalled(holder: Value) -> Value {
    json!({"state": "Held", "holder": holder, "recall": {"reason": "PoolShort"}, "withheld": {"9": {"pod": "shop/x"}}})
}

fn allocations(of: Value) -> Value {
    json!({"spec": {"allocations": of}})
}

fn block(who: Who, how: How, spec: Value, change: Value) -> Attempt {
    Attempt::block(who, how, spec, change)
}

/// The addresses of a shared block.
pub(super) fn single_addresses() -> Vec<Case> {
    let case = |name: String, how: How, change: Value, twin: (Who, Value)| {
        let denied = block(Who::Shim, how, shared(), allocations(change));
        Case::new(L, name, denied, block(twin.0, how, shared(), allocations(twin.1)))
    };
    let new = |what: Value| json!({"6": what});
    let mut cases: Vec<Case> = Vec::new();
    for how in ALL {
        cases.push(case(
            format!("the address of another node taken, {how:?}"),
            how,
            json!({"3": a()}),
            (Who::Shim, new(a())),
        ));
        cases.push(case(
            format!("another node's address marked as lost, {how:?}"),
            how,
            json!({"3": {"storeLost": true}}),
            (Who::ShimOfB, json!({"3": {"storeLost": true}})),
        ));
        cases.push(case(
            format!("an address in another node's name, {how:?}"),
            how,
            new(b()),
            (Who::Shim, new(a())),
        ));
    }
    for how in REMOVING {
        for (offset, whose, owner) in [
            ("3", "another node", Who::ShimOfB),
            ("4", "a claim", Who::Cluster),
            ("5", "somebody foreign", Who::Cluster),
        ] {
            let gone = json!({offset: null});
            cases.push(case(
                format!("the address of {whose} freed, {how:?}"),
                how,
                gone.clone(),
                (owner, gone),
            ));
        }
    }
    let own_as_claim =
        json!({"1": {"node": null, "uid": null, "store": null, "epoch": null, "claim": claim()["claim"]}});
    let to_own = |other: &str| json!({"4": {other: null, "node": NODE_A, "uid": "$A", "store": a()["store"], "epoch": 0}});
    let put = How::Put;
    cases.extend([
        case("a claim's address taken".into(), put, to_own("claim"), (Who::Shim, new(claim()))),
        case(
            "another node's epoch".into(),
            put,
            json!({"3": {"epoch": 9}}),
            (Who::Shim, json!({"1": {"epoch": 9}})),
        ),
        case(
            "another node's folder".into(),
            put,
            json!({"3": {"store": "f".repeat(32)}}),
            (Who::ShimOfB, json!({"3": {"store": "f".repeat(32)}})),
        ),
        case(
            "another claim for a claim's address".into(),
            put,
            json!({"4": {"claim": {"uid": "c-2"}}}),
            (Who::Cluster, json!({"4": {"claim": {"uid": "c-2"}}})),
        ),
        case(
            "another pod for a foreign address".into(),
            put,
            json!({"5": {"foreign": {"id": "p-2"}}}),
            (Who::Cluster, json!({"5": {"foreign": {"id": "p-2"}}})),
        ),
        case("an address for somebody foreign".into(), put, new(foreign()), (Who::Cluster, new(foreign()))),
        case(
            "the own UID under another node's name".into(),
            put,
            new(identity(NODE_B, "$A")),
            (Who::Shim, new(a())),
        ),
        case(
            "the own name with another node's UID".into(),
            put,
            new(identity(NODE_A, "$B")),
            (Who::Shim, new(a())),
        ),
        case("an own address turned into a claim's".into(), put, own_as_claim, (Who::Shim, new(claim()))),
    ]);
    cases
}

/// Blocks as a whole.
pub(super) fn whole_blocks() -> Vec<Case> {
    let give_up = json!({"spec": {"state": "Shared", "holder": null, "recall": null}});
    let take = json!({"spec": {"state": "Held", "holder": a(), "allocations": null}});
    let own = || json!({"state": "Shared", "allocations": {"1": a()}});
    let mut cases: Vec<Case> = Vec::new();
    for how in REMOVING {
        let release = |who| block(who, how, held(b()), give_up.clone());
        cases.push(Case::new(
            L,
            format!("another node's block given up, {how:?}"),
            release(Who::Shim),
            release(Who::ShimOfB),
        ));
        let taken = |of: Value| block(Who::Shim, how, of, take.clone());
        cases.push(Case::new(
            L,
            format!("a block taken in which others have addresses, {how:?}"),
            taken(shared()),
            taken(own()),
        ));
    }
    for (name, role, other) in [("shim", Who::Shim, Who::ShimOfB), ("node role", Who::Node, Who::NodeOfB)] {
        let epoch = |who| block(who, How::Put, held(b()), json!({"spec": {"holder": {"epoch": 7}}}));
        cases.push(Case::new(
            L,
            format!("another node's block renewed by the {name}"),
            epoch(role),
            epoch(other),
        ));
        let freed = |who| block(who, How::Put, shared(), allocations(json!({"3": null})));
        cases.push(Case::new(
            L,
            format!("another node's address freed by the {name}, once more"),
            freed(role),
            freed(other),
        ));
    }
    let own_block = |how, change: Value| block(Who::Shim, how, held(a()), change);
    let renamed = json!({"spec": {"holder": {"node": NODE_B}}});
    cases.extend([
        Case::new(
            L,
            "an own block under another node's name",
            own_block(How::Put, renamed),
            own_block(How::Put, json!({"spec": {"holder": {"epoch": 3}}})),
        ),
        Case::new(
            L,
            "a block taken with a token bound to nothing",
            block(Who::ShimUnbound, How::Put, own(), take.clone()),
            block(Who::Shim, How::Put, own(), take.clone()),
        ),
        Case::new(
            L,
            "a block taken by a node role without a pod",
            block(Who::NodeUnbound, How::Put, own(), take.clone()),
            block(Who::Node, How::Put, own(), take),
        ),
    ]);
    cases
}

/// What the controller alone decides, and what is no node's.
pub(super) fn marks() -> Vec<Case> {
    let set = |who, of: Value, change: Value| block(who, How::Put, of, change);
    let recall = |reason: &str| json!({"spec": {"recall": {"reason": reason}}});
    let lost = |who| set(who, held(b()), recall("StoreLost"));
    let withhold = |who| set(who, held(a()), json!({"spec": {"withheld": {"7": {"pod": "shop/x"}}}}));
    let release = |who| set(who, recalled(a()), json!({"spec": {"withheld": null}}));
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let domain = |who| set(who, shared(), label("ipam.manifold.network/domain", json!("other")));
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "x"}]);
    let mut cases = vec![
        Case::new(
            L,
            "an own block recalled by its node",
            set(Who::Shim, held(a()), recall("PoolShort")),
            set(Who::Shim, held(a()), recall("StoreLost")),
        ),
        Case::new(L, "another node's block told lost", lost(Who::Shim), lost(Who::ShimOfB)),
        Case::new(
            L,
            "a recall taken back by the node",
            set(Who::Shim, recalled(a()), json!({"spec": {"recall": null}})),
            set(
                Who::Shim,
                recalled(a()),
                json!({"spec": {"state": "Shared", "holder": null, "recall": null}}),
            ),
        ),
        Case::new(L, "an address withheld by a node", withhold(Who::Shim), withhold(Who::Cluster)),
        Case::new(L, "a withheld address let go by a node", release(Who::Shim), release(Who::Cluster)),
        Case::new(
            L,
            "another node's label taken away",
            set(Who::Shim, shared(), label(LABEL_OF_B, Value::Null)),
            set(Who::Shim, shared(), label(LABEL_OF_A, Value::Null)),
        ),
        Case::new(
            L,
            "another node's label set",
            set(Who::Shim, held(a()), label(LABEL_OF_B, json!(""))),
            set(Who::Shim, held(b()), label(LABEL_OF_A, json!(""))),
        ),
        Case::new(
            L,
            "another label",
            set(Who::Shim, shared(), label("app", json!("x"))),
            set(Who::Cluster, shared(), label("app", json!("x"))),
        ),
        Case::new(L, "the label of the domain", domain(Who::Shim), domain(Who::Cluster)),
    ];
    for (what, change) in [
        ("an annotation", json!({"metadata": {"annotations": {"a": "b"}}})),
        ("a finalizer", json!({"metadata": {"finalizers": ["example.com/stay"]}})),
        ("an owner", json!({"metadata": {"ownerReferences": owner}})),
    ] {
        let by = |who| set(who, held(a()), change.clone());
        cases.push(Case::new(L, format!("{what} of a block by its node"), by(Who::Shim), by(Who::Cluster)));
    }
    cases
}

pub(super) fn made() -> Vec<Case> {
    let make = |who, spec: Value| Attempt::new_block(who, spec);
    let case = |name: &str, denied: Value, twin: Value| {
        Case::new(L, format!("a block made {name}"), make(Who::Shim, denied), make(Who::Shim, twin))
            .then(Then::Accepted)
    };
    let with = |key: &str, value: Value| {
        let mut spec = held(a());
        spec[key] = value;
        spec
    };
    let of = |what: Value| json!({"state": "Shared", "allocations": {"3": what}});
    vec![
        case("for another node", held(b()), held(a())),
        case("for another node by name alone", held(identity(NODE_B, "$A")), held(a())),
        case("with another node's address", of(b()), of(a())),
        case("with a foreign address", of(foreign()), of(claim())),
        case("with a recall", with("recall", json!({"reason": "StoreLost"})), held(a())),
        case("with a withheld address", with("withheld", json!({"7": {"pod": "shop/x"}})), of(a())),
        Case::new(
            L,
            "a block made with a token bound to nothing",
            make(Who::ShimUnbound, held(a())),
            make(Who::Node, held(a())),
        )
        .then(Then::Accepted),
    ]
}

/// Nobody edits a block, cluster administrators included, and no node deletes one.
pub(super) fn by_people() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for who in [Who::User, Who::Admin] {
        for how in ALL {
            let add = |who| block(who, how, shared(), allocations(json!({"6": foreign()})));
            cases.push(Case::new(
                M,
                format!("a block edited by {who:?}, {how:?}"),
                add(who),
                add(Who::Cluster),
            ));
        }
        let make = |who| Attempt::new_block(who, json!({"state": "Shared"}));
        cases.push(
            Case::new(M, format!("a block made by {who:?}"), make(who), make(Who::Cluster))
                .then(Then::Accepted),
        );
    }
    for who in [Who::User, Who::Admin, Who::Shim, Who::Node] {
        let delete = |who| block(who, How::Delete, json!({"state": "Shared"}), Value::Null);
        let case = Case::new(M, format!("a block deleted by {who:?}"), delete(who), delete(Who::Cluster))
            .then(Then::Accepted);
        cases.push(if who == Who::Shim { case.or_by(A2) } else { case });
    }
    cases
}

pub(super) fn claims() -> Vec<Case> {
    let given = || json!({"ips": ["10.1.0.5/24"], "ownerPod": "vm-1"});
    let write = |who, how, before: Value, change: Value| {
        Attempt::claim(who, how, before, json!({"status": change})).status()
    };
    let first = |how| write(Who::Shim, how, Value::Null, given());
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let mut cases: Vec<Case> = ALL
        .map(|how| {
            let other = write(Who::Shim, how, given(), json!({"ips": ["10.1.0.6/24"], "ownerPod": "vm-1"}));
            Case::new(N, format!("other addresses for a claim, {how:?}"), other, first(how))
        })
        .into();
    let owner = || write(Who::Shim, How::Put, given(), json!({"ownerPod": "vm-2"}));
    let conditions = |who| write(who, How::Put, given(), json!({"conditions": ready}));
    let spec = |who, change: Value| Attempt::claim(who, How::Merge, Value::Null, change);
    let network = json!({"spec": {"network": "other"}});
    let finalizers = json!({"metadata": {"finalizers": null}});
    cases.extend([
        Case::new(
            N,
            "a claim's addresses taken away",
            write(Who::Shim, How::Put, given(), json!({"ips": []})),
            owner(),
        ),
        Case::new(N, "conditions of a claim", conditions(Who::Shim), conditions(Who::User)),
        Case::new(
            N,
            "a claim with a token bound to nothing",
            write(Who::ShimUnbound, How::Put, Value::Null, given()),
            first(How::Put),
        ),
        Case::new(
            A2,
            "the shim's change of a claim",
            spec(Who::Shim, network.clone()),
            spec(Who::User, network),
        ),
        Case::new(
            A2,
            "the shim's change of a claim's finalizers",
            spec(Who::Shim, finalizers.clone()),
            spec(Who::User, finalizers),
        ),
    ]);
    let pool = |who| {
        let object = json!({"apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressPool",
            "metadata": {"generateName": "x-"}, "spec": {"subnet": "10.9.0.0/24"}});
        Attempt::path(who, How::Create, POOLS, object)
    };
    cases.push(
        Case::new(A2, "the shim's write of a pool", pool(Who::Shim), pool(Who::User)).then(Then::Accepted),
    );
    cases
}
