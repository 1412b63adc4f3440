//! What is compared: who attaches the pods, and whose plugins are executed.

use std::fmt;

use serde_json::{Value, json};

/// Who stands between the runtime and the plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    /// Nobody: pods have the default network alone.
    None,
    Manifold,
    Thin,
    Thick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Plugins {
    Reference,
    Ours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) meta: Meta,
    pub(super) plugins: Plugins,
}

/// A network that pods are attached to beside the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Bridge,
    Macvlan,
}

impl Meta {
    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Thin | Self::Thick)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "default network alone",
            Self::Manifold => "Manifold",
            Self::Thin => "Multus, thin",
            Self::Thick => "Multus, thick",
        }
    }
}

impl Subject {
    pub(super) fn plugins(self) -> &'static str {
        match (self.meta, self.plugins) {
            (Meta::Manifold, Plugins::Reference) => "reference's, executed",
            (_, Plugins::Reference) => "reference's",
            // As it is installed: the reference's lie beside, and are not used.
            (Meta::Manifold, Plugins::Ours) => "ours, bundled",
            (_, Plugins::Ours) => "ours, executed",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, plugins: {}", self.meta.name(), self.plugins())
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
        }
    }

    /// Addresses are of a range that no other network of the pod has.
    pub(super) fn config(self, name: &str, number: usize) -> Value {
        let ipam =
            json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{}.0.0/16", 100 + number)}]]});
        let own = match self {
            Self::Bridge => json!({"type": "bridge", "bridge": format!("bench{number}")}),
            Self::Macvlan => json!({"type": "macvlan", "master": "eth1", "mode": "bridge"}),
        };
        let mut config = json!({"cniVersion": "1.0.0", "name": name, "ipam": ipam});
        if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
            config.extend(own);
        }
        config
    }
}
