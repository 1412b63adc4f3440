//! Why a pod does not get its networks: one sentence, the place, and how to mend it.

use std::fmt::Display;
use std::path::PathBuf;

use manifold_cni::{CniError, IfName, PluginType, code};

use crate::Pod;

/// A plan that cannot be made. Nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}{}", joined(.place), joined(.fix))]
pub struct Refusal {
    /// 7 where only a person can mend it, 11 where trying again can help.
    pub code: u32,
    /// The sentence.
    pub what: String,
    /// Interface and pod, as far as they are known.
    pub place: String,
    /// What to do about it.
    pub fix: String,
}

fn joined(part: &str) -> String {
    if part.is_empty() { String::new() } else { format!("; {part}") }
}

impl Refusal {
    /// Only a person can mend it.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code: code::INVALID_CONFIG, what: what.into(), place: String::new(), fix: fix.into() }
    }

    /// The same with another code.
    #[must_use]
    pub fn code(mut self, code: u32) -> Self {
        self.code = code;
        self
    }

    /// The sentence about the network that it concerns.
    #[must_use]
    pub(crate) fn about(mut self, network: &impl Display) -> Self {
        self.what = format!("network `{network}`: {}", self.what);
        self
    }

    /// Where it happened: the innermost place wins.
    #[must_use]
    pub(crate) fn at(mut self, ifname: Option<&IfName>, pod: &Pod) -> Self {
        if self.place.is_empty() {
            self.place = match ifname {
                Some(ifname) => {
                    format!("interface {} of pod {pod}", manifold_cni::name::printable(ifname.as_str()))
                }
                None => format!("pod {pod}"),
            };
        }
        self
    }

    /// Where it happened, when the pod is for the caller to name.
    #[must_use]
    pub(crate) fn on(mut self, ifname: &IfName) -> Self {
        self.place = format!("interface {}", manifold_cni::name::printable(ifname.as_str()));
        self
    }

    /// A plugin that is neither bundled nor in any of the folders (P-USE-3). The caller looked; the words are here.
    pub fn plugin_missing(
        network: &str,
        kind: &PluginType,
        ifname: &IfName,
        pod: &Pod,
        searched: &[PathBuf],
    ) -> Self {
        let folders: Vec<String> = searched.iter().map(|f| format!("`{}`", f.display())).collect();
        let looked =
            if folders.is_empty() { "no folder is configured".to_owned() } else { folders.join(", ") };
        let refusal = Self::new(
            format!("network `{network}` needs plugin `{kind}`, which is not installed on this node"),
            format!("install the plugin on the node, or drop `{network}` from the pod's networks annotation"),
        )
        .at(Some(ifname), pod);
        Self { place: format!("{}; looked in {looked}", refusal.place), ..refusal }
    }
}

impl From<Refusal> for CniError {
    fn from(refusal: Refusal) -> Self {
        let fix = if refusal.fix.is_empty() { String::new() } else { format!("fix: {}", refusal.fix) };
        let parts: Vec<String> = [refusal.place, fix].into_iter().filter(|p| !p.is_empty()).collect();
        Self::new(refusal.code, refusal.what).details(parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: P-USE-3
    #[test]
    fn a_missing_plugin_is_told_with_the_folders_that_were_searched() {
        let pod = Pod::new("shop", "cart-7", None).unwrap();
        let searched = [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")];
        let kind = "macvlan".parse().unwrap();
        let refusal =
            Refusal::plugin_missing("shop/storage", &kind, &"net2".parse().unwrap(), &pod, &searched);
        let error = CniError::from(refusal);
        assert_eq!(error.code, 7);
        assert_eq!(
            error.msg,
            "network `shop/storage` needs plugin `macvlan`, which is not installed on this node"
        );
        assert_eq!(
            error.details,
            "interface net2 of pod shop/cart-7; looked in `/opt/cni/bin`, `/usr/lib/cni`; fix: install the plugin on \
             the node, or drop `shop/storage` from the pod's networks annotation"
        );
    }
}
