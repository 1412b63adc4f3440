//! Events: those of Manifold come from Manifold, those of a node from that node, and with its tokens nobody speaks for others (K).

use serde_json::{Value, json};

use super::{Case, K};
use crate::attempt::{Attempt, Then};
use crate::bed::{NODE_A, NODE_B};
use crate::identity::Who;
use crate::patch::{How, merged};

pub(crate) const OURS: &str = "manifold.network/controller";
const NEW: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
const OLD: &str = "/api/v1/namespaces/shop/events";
const SYSTEM: &str = "/apis/events.k8s.io/v1/namespaces/manifold-system/events";
const OF_NODES: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// About a pod, in the name of this controller and instance.
pub(crate) fn event(controller: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "x-"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "NetworksAttached", "action": "Attached",
        "type": "Normal", "reportingController": controller, "reportingInstance": instance, "note": "x",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "x"},
    })
}

/// The same in the words of the older API.
fn old(controller: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "x-"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "NetworksAttached", "action": "Attached",
        "type": "Normal", "reportingComponent": controller, "reportingInstance": instance, "message": "x",
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "x"},
    })
}

fn make(who: Who, list: &str, event: Value) -> Attempt {
    Attempt::path(who, How::Create, list, event)
}

fn about(kind: &str, namespace: &str, name: &str) -> Value {
    let regarding = json!({"kind": kind, "namespace": namespace, "name": name});
    merged(&event(OURS, NODE_A), &json!({"regarding": regarding}))
}

pub(super) fn made() -> Vec<Case> {
    let own = || make(Who::Node, NEW, event(OURS, NODE_A));
    let old_own = || make(Who::Node, OLD, old(OURS, NODE_A));
    let posing = merged(&old(OURS, NODE_A), &json!({"source": {"component": "kubelet", "host": NODE_B}}));
    let done = |reason: &str| {
        make(Who::Cluster, NEW, merged(&event(OURS, "manifold-controller-0"), &json!({"reason": reason})))
    };
    let answer = |node: &str| {
        let regarding = json!({"kind": "NetworkAttachmentDefinition", "namespace": "manifold-system", "name": "cluster-wide-network"});
        merged(&event(OURS, node), &json!({"reason": "NodeUninstalled", "regarding": regarding}))
    };
    let case =
        |name: &str, denied: Attempt, twin: Attempt| Case::new(K, name, denied, twin).then(Then::Accepted);
    let of_node = |who, name: &str| make(who, OF_NODES, about("Node", "", name));
    vec![
        case("an event of another node", make(Who::Node, NEW, event(OURS, NODE_B)), own()),
        case("an event of another node, the old way", make(Who::Node, OLD, old(OURS, NODE_B)), old_own()),
        case(
            "another node's answer",
            make(Who::Node, SYSTEM, answer(NODE_B)),
            make(Who::NodeOfB, SYSTEM, answer(NODE_B)),
        ),
        case("an event of no node", make(Who::Node, NEW, event(OURS, "x")), own()),
        case("an event by a token of no node", make(Who::NodeUnbound, NEW, event(OURS, NODE_A)), own()),
        case("a kubelet's event by the node agent", make(Who::Node, NEW, event("kubelet", NODE_A)), own()),
        case("a kubelet's event by the node agent, the old way", make(Who::Node, OLD, posing), old_own()),
        case("an event about another node", of_node(Who::Node, NODE_B), of_node(Who::Node, NODE_A)),
        case(
            "an event of the node agent about something else",
            make(Who::Node, NEW, about("Secret", "shop", "x")),
            own(),
        ),
        case(
            "an event of the node agent about another network",
            make(Who::Node, NEW, about("NetworkAttachmentDefinition", "shop", "x")),
            make(
                Who::Node,
                SYSTEM,
                about("NetworkAttachmentDefinition", "manifold-system", "cluster-wide-network"),
            ),
        ),
        case(
            "an event of ours by somebody",
            make(Who::User, NEW, event(OURS, NODE_A)),
            make(Who::User, NEW, event("x", NODE_A)),
        ),
        case(
            "a node's answer by an administrator",
            make(Who::Admin, SYSTEM, answer(NODE_B)),
            make(Who::Admin, SYSTEM, merged(&answer(NODE_B), &json!({"reportingController": "x"}))),
        ),
        case(
            "an event of ours by a kubelet",
            make(Who::Kubelet, OLD, old(OURS, NODE_B)),
            make(Who::Kubelet, OLD, old("kubelet", NODE_A)),
        ),
        case("a node's answer by the controller", done("NodeUninstalled"), done("NetworkKept")),
        case("a node's refusal by the controller", done("NodeNotUninstalled"), done("NetworkReleased")),
        case(
            "another's event by the controller",
            make(Who::Cluster, NEW, event("x", "x")),
            done("NetworkKept"),
        ),
    ]
}

pub(super) fn changed() -> Vec<Case> {
    let forged = || json!({"message": "forged"});
    let again = || json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    let on = |by, list, event: Value, who, change| Attempt::made(who, How::Merge, (by, list, event), change);
    let counted = || on(Who::Node, NEW, event(OURS, NODE_A), Who::Node, again());
    let of_kubelet = || (Who::Kubelet, OLD, old("kubelet", NODE_A));
    let by = |who, change| Attempt::made(who, How::Merge, of_kubelet(), change);
    let stolen = || json!({"message": "forged", "reportingComponent": OURS, "reportingInstance": NODE_A});
    vec![
        Case::new(
            K,
            "another node's event changed",
            on(Who::NodeOfB, OLD, old(OURS, NODE_B), Who::Node, forged()),
            counted(),
        ),
        Case::new(
            K,
            "another node's event counted up",
            on(Who::NodeOfB, NEW, event(OURS, NODE_B), Who::Node, again()),
            counted(),
        ),
        Case::new(
            K,
            "a kubelet's event changed by the node agent",
            by(Who::Node, forged()),
            by(Who::User, forged()),
        ),
        Case::new(
            K,
            "a kubelet's event made one of the node agent",
            by(Who::Node, stolen()),
            by(Who::User, forged()),
        ),
        Case::new(
            K,
            "a kubelet's event changed by the controller",
            by(Who::Cluster, forged()),
            by(Who::User, forged()),
        ),
        Case::new(
            K,
            "an event of ours changed by somebody",
            on(Who::Node, OLD, old(OURS, NODE_A), Who::User, forged()),
            counted(),
        ),
        Case::new(
            K,
            "an event of somebody made one of ours",
            by(Who::User, stolen()),
            by(Who::User, forged()),
        ),
    ]
}
