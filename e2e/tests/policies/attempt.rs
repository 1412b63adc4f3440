//! One request of one identity on an object that is made for it, and what came of it.

use manifold_e2e::api_client::Answer;
use serde_json::{Value, json};

use crate::bed::{Bed, NETWORKS, NODE_A, NODE_B, PODS, message};
use crate::identity::Who;
use crate::objects::{BLOCKS, annotations, claim, network, new_block, pod, with_uids};
use crate::patch::{How, holds};

pub(crate) const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
pub(crate) const SELECTION: &str = "k8s.v1.cni.cncf.io/networks";
pub(crate) const DEFAULT: &str = "v1.multus-cni.io/default-network";
pub(crate) const IN_USE: &str = "manifold.network/in-use";
/// An annotation that nobody but its owner cares for.
pub(crate) const PLAIN: &str = "example.com/plain";

/// What the request is about. Everything but `Path` is made anew for each attempt.
#[derive(Clone, Debug)]
pub(crate) enum On {
    Pod {
        node: Option<&'static str>,
        more: Value,
        attached: bool,
    },
    Network {
        in_use: bool,
        more: Value,
    },
    /// An object of another kind, in this list, made by this identity.
    Made {
        by: Who,
        list: &'static str,
        object: Value,
    },
    /// An AddressBlock that the controller has made, with its labels. In it and in the change `$A` and `$B` are the UIDs of the
    /// nodes. With [`How::Create`] it is made by the attempt.
    Block(Value),
    /// An IPAMClaim with this status, or none.
    Claim(Value),
    /// The object that is there under this path. Nothing is stored.
    Kept(&'static str),
    /// A path as it stands; `$NAME` in it and in the body is the name of a fresh pod without a node,
    /// `$NODE` in such a body the UID of `node-a`.
    Path(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) who: Who,
    pub(crate) on: On,
    /// Empty, or with its slash.
    pub(crate) below: &'static str,
    pub(crate) how: How,
    pub(crate) change: Value,
}

/// What the API server must do with an attempt that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Success, and the object says what the change says.
    Stored,
    /// Success.
    Accepted,
    /// Success, and the object is as it was: the subresource does not take such a change.
    Dropped,
    /// Whatever comes behind admission: there is no kubelet to answer.
    Passed,
}

impl Attempt {
    /// Changes a pod on `node-a` that asks for the network `right`.
    pub(crate) fn pod(who: Who, how: How, change: Value) -> Self {
        let on = On::Pod { node: Some(NODE_A), more: json!({}), attached: false };
        Self { who, on, below: "", how, change }
    }

    pub(crate) fn network(who: Who, how: How, change: Value) -> Self {
        Self { who, on: On::Network { in_use: false, more: json!({}) }, below: "", how, change }
    }

    pub(crate) fn path(who: Who, how: How, path: &str, body: Value) -> Self {
        Self { who, on: On::Path(path.to_string()), below: "", how, change: body }
    }

    /// Changes an object that is made for it. Its name is set then.
    pub(crate) fn made(who: Who, how: How, of: (Who, &'static str, Value), change: Value) -> Self {
        let (by, list, object) = of;
        Self { who, on: On::Made { by, list, object }, below: "", how, change }
    }

    pub(crate) fn kept(who: Who, how: How, path: &'static str, change: Value) -> Self {
        Self { who, on: On::Kept(path), below: "", how, change }
    }

    /// Changes a block that says this.
    pub(crate) fn block(who: Who, how: How, spec: Value, change: Value) -> Self {
        Self { who, on: On::Block(spec), below: "", how, change }
    }

    pub(crate) fn new_block(who: Who, spec: Value) -> Self {
        Self { who, on: On::Block(spec), below: "", how: How::Create, change: Value::Null }
    }

    pub(crate) fn claim(who: Who, how: How, status: Value, change: Value) -> Self {
        Self { who, on: On::Claim(status), below: "", how, change }
    }

    pub(crate) fn by(mut self, other: Who) -> Self {
        self.who = other;
        self
    }

    pub(crate) fn at(mut self, subresource: &'static str) -> Self {
        self.below = subresource;
        self
    }

    pub(crate) fn status(self) -> Self {
        self.at("/status")
    }

    fn on_node(mut self, name: Option<&'static str>) -> Self {
        if let On::Pod { node, .. } = &mut self.on {
            *node = name;
        }
        self
    }

    pub(crate) fn on_b(self) -> Self {
        self.on_node(Some(NODE_B))
    }

    pub(crate) fn unbound(self) -> Self {
        self.on_node(None)
    }

    /// The object has this beside what every fresh one has.
    pub(crate) fn having(mut self, extra: Value) -> Self {
        if let On::Pod { more, .. } | On::Network { more, .. } = &mut self.on {
            *more = extra;
        }
        self
    }

    /// The pod's status is published already.
    pub(crate) fn attached(mut self) -> Self {
        if let On::Pod { attached, .. } = &mut self.on {
            *attached = true;
        }
        self
    }

    pub(crate) fn in_use(mut self) -> Self {
        if let On::Network { in_use, .. } = &mut self.on {
            *in_use = true;
        }
        self
    }

    pub(crate) fn run(&self, bed: &Bed) -> Outcome {
        let (path, change, before) = self.prepare(bed);
        let body = self.how.body(&before, &change);
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let url = self.url(&path);
        let answer =
            bed.as_(self.who).call(self.how.method(), &url, self.how.content_type(), bytes.as_bytes());
        let after =
            if before.is_null() { Value::Null } else { bed.api.client().get(&path).unwrap().json().unwrap() };
        Outcome { url, change, before, answer: answer.unwrap(), after }
    }

    fn url(&self, path: &str) -> String {
        let is_dry = matches!(self.on, On::Kept(_));
        let asked = [self.how.query().trim_start_matches('?'), if is_dry { "dryRun=All" } else { "" }];
        let asked = asked.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("&");
        let separator = match (asked.is_empty(), path.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        format!("{path}{}{separator}{asked}", self.below)
    }

    /// The path, the change, and the object as it is before.
    fn prepare(&self, bed: &Bed) -> (String, Value, Value) {
        let change = self.change.clone();
        match &self.on {
            On::Pod { node, more, attached } => {
                let path = format!("{PODS}/{}", pod(bed, *node, more));
                if *attached {
                    let shim = if *node == Some(NODE_B) { Who::ShimOfB } else { Who::Shim };
                    let status = annotations(json!({STATUS: "[]"}));
                    bed.must(shim, "PATCH", &format!("{path}/status"), How::Merge.content_type(), &status);
                }
                let before = bed.must(Who::Admin, "GET", &path, "application/json", &Value::Null);
                (path, change, before)
            }
            On::Network { in_use, more } => {
                let path = format!("{NETWORKS}/{}", network(bed, *in_use, more));
                let before = bed.must(Who::Admin, "GET", &path, "application/json", &Value::Null);
                (path, change, before)
            }
            On::Made { by, list, object } => {
                let mut object = object.clone();
                object["metadata"]["name"] = bed.fresh("made").into();
                let path = format!("{list}/{}", object["metadata"]["name"].as_str().unwrap());
                let before = bed.must(*by, "POST", list, "application/json", &object);
                (path, change, before)
            }
            On::Block(spec) if self.how == How::Create => {
                (BLOCKS.to_owned(), new_block(bed, spec), Value::Null)
            }
            On::Block(spec) => {
                let made = bed.must(Who::Cluster, "POST", BLOCKS, "application/json", &new_block(bed, spec));
                let path = format!("{BLOCKS}/{}", made["metadata"]["name"].as_str().unwrap());
                (path, with_uids(bed, &change), made)
            }
            On::Claim(status) => {
                let (path, before) = claim(bed, status);
                (path, change, before)
            }
            On::Kept(path) => {
                let before = bed.must(Who::Admin, "GET", path, "application/json", &Value::Null);
                ((*path).to_string(), change, before)
            }
            On::Path(path) => {
                let body = change.to_string();
                if !path.contains("$NAME") && !body.contains("$NAME") {
                    return (path.clone(), change, Value::Null);
                }
                let name = pod(bed, None, &json!({}));
                let body = body.replace("$NAME", &name).replace("$NODE", &bed.node_uid);
                let change = serde_json::from_str(&body).unwrap();
                (path.replace("$NAME", &name), change, Value::Null)
            }
        }
    }
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) url: String,
    change: Value,
    before: Value,
    pub(crate) answer: Answer,
    after: Value,
}

impl Outcome {
    /// Which policy said no. `None`: none did.
    pub(crate) fn policy(&self) -> Option<String> {
        let message = message(&self.answer);
        let (_, rest) = message.split_once("ValidatingAdmissionPolicy '")?;
        (self.answer.status == 403).then(|| rest.split('\'').next().unwrap_or_default().to_string())
    }

    pub(crate) fn message(&self) -> String {
        message(&self.answer)
    }

    /// What people and Manifold decide by is as it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        let parts = ["annotations", "labels", "finalizers", "ownerReferences", "deletionTimestamp"];
        parts.iter().all(|part| self.before["metadata"][part] == self.after["metadata"][part])
            && ["spec", "status", "webhooks", "message", "note", "series"]
                .iter()
                .all(|of| self.before[of] == self.after[of])
    }

    pub(crate) fn is(&self, then: Then) -> bool {
        match then {
            Then::Stored => self.answer.ok() && holds(&self.after, &self.change),
            Then::Accepted => self.answer.ok(),
            Then::Dropped => self.answer.ok() && self.is_unchanged(),
            Then::Passed => self.answer.status != 403,
        }
    }
}
