//! AddressPool: what the server can check alone. The rest is checked by whoever reads the pool, in one sentence each.

use serde_json::{Value, json};

use super::{column, default, domain, integer, object, text, validated};
use crate::ipam::pool::{NEXT_HINTS, OPEN_HINTS, RECLAIM_AFTER_SECONDS};

/// A list longer than this is a mistake, and each entry costs every node that reads the pool.
const MOST_ENTRIES: u32 = 256;

pub(super) fn columns() -> Value {
    json!([
        column("Subnet", "string", ".spec.subnet", "Gives the prefix length"),
        column("Domain", "string", ".spec.domain", "In which its addresses are given once"),
        column("Used", "integer", ".status.used", "Addresses in use"),
        column("Free", "integer", ".status.free", "Free addresses"),
        column("Idle", "integer", ".status.idle", "Free addresses that nodes hold for their next pods"),
        column("Total", "integer", ".status.total", "Addresses that can be given"),
        column("Nodes", "integer", ".status.nodes", "Nodes that have any"),
        column("Mode", "string", ".status.mode", "Whether nodes take blocks or single addresses"),
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].status",
            "Whether addresses can be given"
        ),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it exists"),
    ])
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "Addresses of one subnet that pods get by the IPAM type `cluster-local`, each once in the whole cluster.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec(),
            "status": status(),
        },
    })
}

fn spec() -> Value {
    let spec = object(&["subnet"], "Which addresses may be given, and how.", properties());
    let rules = json!([
        { "rule": "self.domain == oldSelf.domain", "message": "domain cannot change; make another pool" },
        { "rule": "self.subnet == oldSelf.subnet", "message": "subnet cannot change; make another pool" },
    ]);
    validated(spec, rules)
}

fn properties() -> Value {
    json!({
        "domain": default(
            domain("In which its addresses are given once. Networks on one wire share a domain."), "default"),
        "subnet": text(43, "The subnet as a CIDR, such as 10.1.0.0/16. Gives the prefix length."),
        "ranges": list(range(), "Which addresses of it; none: all usable ones."),
        "exclude": list(text(43, "A CIDR or an address."), "Addresses that are never given."),
        "fixed": list(range(), "Addresses that are given only to who asks for them by name."),
        "gateway": text(39, "In every result of the pool; never given."),
        "routes": list(object(&["dst"], "A route.", json!({
            "dst": text(43, "Where to, as a CIDR."), "gw": text(39, "Through what; none: the gateway."),
        })), "Added to the routes of the network."),
        "mode": default(mode(&["Auto", "Blocks", "Singles"]), "Auto"),
        "maxPerNode": default(integer(0, Some(1 << 20), "The most addresses that a node may have; 0: no limit."), 0),
        "reuseAfterSeconds": default(integer(0, Some(86_400), "How long a freed address rests."), 0),
        "reclaimAfterSeconds": default(integer(60, Some(86_400), "How long the addresses of a Node that is gone stay with it."),
            RECLAIM_AFTER_SECONDS),
        "sticky": default(json!({ "type": "string", "enum": ["None", "StatefulSet"],
            "description": "Whether the pods of a StatefulSet keep their addresses." }), "None"),
        "paused": default(json!({ "type": "boolean", "description": "No new addresses; who has one keeps it." }), false),
    })
}

fn mode(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values, "description": "Whether nodes take whole blocks or single addresses." })
}

fn range() -> Value {
    object(
        &["start", "end"],
        "Addresses from one to another, both included.",
        json!({
            "start": text(39, "The first."), "end": text(39, "The last."),
        }),
    )
}

fn list(items: Value, description: &str) -> Value {
    json!({ "type": "array", "description": description, "items": items, "maxItems": MOST_ENTRIES })
}

fn status() -> Value {
    let count = |description: &str| integer(0, None, description);
    object(
        &[],
        "What the controller reports about the pool. Only the controller writes it.",
        json!({
            "observedGeneration": count("The metadata.generation that this status describes."),
            "mode": mode(&["Blocks", "Singles"]),
            "total": count("How many addresses can be given."),
            "used": count("How many are in use."),
            "free": count("How many are free."),
            "idle": count("How many nodes hold for their next pods."),
            "nodes": count("How many nodes have any."),
            "networks": list(text(320, "namespace/name"), "The networks that use it."),
            "open": hints(OPEN_HINTS, "Shared blocks with room."),
            "next": hints(NEXT_HINTS, "Blocks without an address in use."),
            "conditions": {
                "type": "array",
                "description": "Ready, Exhausted, NearlyFull, HoldersSilent, Duplicates, Overlap.",
                "items": crate::crd::condition(),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        }),
    )
}

fn hints(most: usize, description: &str) -> Value {
    json!({ "type": "array", "description": description, "items": text(39, "A block's first address."), "maxItems": most })
}
