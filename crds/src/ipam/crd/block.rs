//! AddressBlock: the schema enforces what must hold whoever writes.

use serde_json::{Value, json};

use super::{column, domain, integer, object, text, validated, with};

/// A block's first address, in its one spelling: IPv4 with the last octet a multiple of 16, or IPv6 in full length.
pub(super) const START: &str = concat!(
    r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}",
    r"(0|16|32|48|64|80|96|112|128|144|160|176|192|208|224|240)$",
    r"|^([0-9a-f]{4}:){7}[0-9a-f]{3}0$"
);

pub(super) fn columns() -> Value {
    json!([
        column("Domain", "string", ".spec.domain", "In which its addresses are given once"),
        column("Start", "string", ".spec.start", "The first of its 16 addresses"),
        column("State", "string", ".spec.state", "Held by one node, or shared"),
        column("Node", "string", ".spec.holder.node", "The node that holds it"),
        column("Recall", "string", ".spec.recall.reason", "Why it is wanted back"),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it exists"),
    ])
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "Who has 16 addresses of a domain. Written by Manifold alone; see AddressPool.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec(),
        },
        "x-kubernetes-validations": [{
            "rule": "self.metadata.name == self.spec.domain + '.' + self.spec.start.replace('.', '-').replace(':', '-')",
            "message": "the name must be the domain, a dot, and start with `-` for `.` and `:`",
        }],
    })
}

fn spec() -> Value {
    let spec = object(&["domain", "start", "state"], "Which addresses, and who has them.", properties());
    let rules = json!([
        { "rule": "self.domain == oldSelf.domain && self.start == oldSelf.start", "message": "domain and start cannot change" },
        { "rule": "self.state == 'Held' ? has(self.holder) && !has(self.allocations) : !has(self.holder) && !has(self.recall)",
          "message": "Held has a holder and no allocations; Shared has neither holder nor recall" },
        { "rule": "!has(self.holder) || !has(oldSelf.holder) || self.holder.uid == oldSelf.holder.uid",
          "message": "a block does not go from one node to another in one step" },
    ]);
    validated(spec, rules)
}

fn properties() -> Value {
    json!({
        "domain": domain("In which its addresses are given once."),
        "start": { "type": "string", "maxLength": 39, "pattern": START,
            "description": "The first of its 16 addresses; IPv6 in full length and small letters." },
        "state": { "type": "string", "enum": ["Held", "Shared"],
            "description": "Held: one node gives all of it. Shared: each address for itself." },
        "holder": object(&["node", "uid", "store", "epoch"], "The node that holds it.", identity()),
        "recall": object(&["reason"], "The cluster wants it back.", json!({
            "reason": { "type": "string", "enum": ["PoolShort", "FixedAddress", "StoreLost", "NodeLost"], "description": "Why." },
            "since": text(40, "Since when."),
        })),
        "withheld": map("Addresses that must not be given, by offset, because something alive shows them.",
            object(&["pod"], "Who shows it.", json!({ "pod": text(320, "namespace/name") }))),
        "allocations": map("Who has which address, by offset.", allocation()),
    })
}

/// Of somebody, so never empty.
fn name(most: u32, description: &str) -> Value {
    with(text(most, description), "minLength", 1)
}

fn identity() -> Value {
    json!({
        "node": name(253, "The node's name."),
        "uid": name(63, "Which Node object of that name."),
        "store": name(32, "Which folder of leases of that node."),
        "epoch": integer(0, None, "Raised when the node confirms what it has."),
        "since": text(40, "Since when."),
    })
}

fn allocation() -> Value {
    let mut properties = identity();
    let more = json!({
        "storeLost": { "type": "boolean", "description": "The node's folder was lost." },
        "pod": text(320, "The first pod that got it, as namespace/name."),
        "interface": text(15, "That pod's interface."),
        "claim": object(&["namespace", "name", "uid"], "The IPAMClaim that has it.", json!({
            "namespace": text(63, "Of the claim."), "name": text(253, "Of the claim."), "uid": text(63, "Of the claim."),
        })),
        "foreign": object(&["by", "pod", "id"], "A holder outside Manifold.", json!({
            "by": text(63, "Who gave it, or how it was found."), "pod": text(320, "namespace/name"),
            "id": text(253, "What the giver knows the pod by."),
        })),
    });
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
        all.extend(more);
    }
    let mut schema = object(&[], "A node, a claim, or a foreign holder.", properties);
    let one = json!([{
        // With a node's UID in a claim's allocation, policy would take it for that node's.
        "rule": "has(self.claim) || has(self.foreign) \
                 ? has(self.claim) != has(self.foreign) && !has(self.node) && !has(self.uid) && !has(self.store) && !has(self.epoch) \
                 : has(self.node) && has(self.uid) && has(self.store) && has(self.epoch)",
        "message": "an allocation is a node's, a claim's or foreign, one of these",
    }]);
    if let Some(keys) = schema.as_object_mut() {
        keys.insert("x-kubernetes-validations".to_owned(), one);
    }
    schema
}

/// By offset. Sixteen keys of one form, so nobody can write more than a block has addresses.
fn map(description: &str, value: Value) -> Value {
    json!({
        "type": "object", "description": description, "maxProperties": 16, "minProperties": 1, "additionalProperties": value,
        "x-kubernetes-validations": [{
            "rule": "self.all(o, o.matches('^([0-9]|1[0-5])$'))", "message": "keys are offsets from 0 to 15",
        }],
    })
}
