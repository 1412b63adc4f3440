//! What is alive of each network, so that GC of its plugins leaves it alone: by the ledger, by what Multus left of pods
//! that it attached before us, and for the default network by the runtime's own list.

use std::collections::BTreeSet;

use manifold_cni::{AttachmentId, CniError, ContainerId, IfName, NetworkName, code};
use manifold_ledger::{Entry, Ledger, Recorded};

use crate::shim::Shim;
use crate::takeover;

pub(super) struct Living<'a> {
    entries: &'a [Entry],
    alive: &'a [AttachmentId],
    /// The node's default network, where its disk tells it.
    default: Option<&'a NetworkName>,
    /// Attached by Multus.
    older: Vec<(NetworkName, AttachmentId)>,
    /// A sandbox that is alive, and nobody can tell in which networks.
    unknown: Option<CniError>,
}

impl<'a> Living<'a> {
    pub(super) fn of(
        shim: &Shim,
        ledger: &Ledger,
        entries: &'a [Entry],
        alive: &'a [AttachmentId],
        default: Option<&'a Recorded>,
    ) -> Self {
        let default = default.map(|network| &network.network);
        let mut living = Self { entries, alive, default, older: Vec::new(), unknown: None };
        let recorded: BTreeSet<&str> = entries.iter().map(|e| e.container.as_str()).collect();
        for at in alive.iter().filter(|at| !recorded.contains(at.container.as_str())) {
            match attached_by_multus(shim, ledger, at) {
                Ok(older) => living.older.extend(older),
                Err(e) => living.unknown = Some(e.context(&format!("sandbox `{}` is alive", at.container))),
            }
        }
        living
    }

    /// What GC of the network keeps. An error where that is not known: then nothing of it may be cleared, as an address
    /// that is in use would be given out again.
    pub(super) fn keep(&self, network: &Recorded) -> Result<Vec<AttachmentId>, CniError> {
        let mut keep = BTreeSet::new();
        for entry in self.entries {
            for attachment in entry.attachments.iter().filter(|a| a.network == network.network) {
                let (container, ifname) = (entry.container.to_string(), attachment.ifname.to_string());
                keep.insert(AttachmentId { container, ifname });
            }
        }
        keep.extend(self.older.iter().filter(|(name, _)| *name == network.network).map(|(_, at)| at.clone()));
        if network.default || self.default == Some(&network.network) {
            keep.extend(self.alive.iter().cloned());
        } else if let Some(unknown) = &self.unknown {
            return Err(unknown.clone().context(&format!("network `{}` is not cleared", network.display)));
        }
        Ok(keep.into_iter().collect())
    }
}

/// The networks of a sandbox without an entry. A name that no runtime of ours can have given is nobody's.
fn attached_by_multus(
    shim: &Shim,
    ledger: &Ledger,
    at: &AttachmentId,
) -> Result<Vec<(NetworkName, AttachmentId)>, CniError> {
    let (Ok(container), Ok(first)) = (at.container.parse::<ContainerId>(), at.ifname.parse::<IfName>())
    else {
        return Ok(Vec::new());
    };
    // One that was set aside is no "nothing recorded", and one that can be read now could not be a moment ago.
    if ledger.read(&container)?.is_some() {
        return Err(CniError::new(code::TRY_AGAIN, "its ledger entry could not be read a moment ago"));
    }
    let named = takeover::networks(shim, &container, &first)?.into_iter();
    let id = |ifname: String| AttachmentId { container: at.container.clone(), ifname };
    Ok(named.map(|(network, ifname)| (network, id(ifname.to_string()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn alive(container: &str) -> AttachmentId {
        AttachmentId { container: container.into(), ifname: "eth0".into() }
    }

    fn kept(living: &Living<'_>, network: &Recorded) -> Vec<String> {
        let kept = living.keep(network).unwrap();
        kept.iter().map(|at| format!("{} {}", at.container, at.ifname)).collect()
    }

    // Shows part of: F-RUN-6
    #[test]
    fn a_living_pod_of_multus_keeps_what_it_has_in_a_network_of_both() {
        let state = tempfile::tempdir().unwrap();
        let shim = sample::shim(state.path());
        let ledger = Ledger::open(state.path()).unwrap();
        std::fs::create_dir(state.path().join("multus")).unwrap();
        let left = r#"[{"Name":"cluster","Conf":{"name":"cluster","type":"loopback"}},
            {"Name":"shop/storage","Conf":{"name":"storage","type":"bridge"},"ifnameRequest":"data0"}]"#;
        std::fs::write(state.path().join("multus/older"), left).unwrap();
        let (cluster, storage) =
            (sample::recorded("cluster", "eth0", "loopback"), sample::recorded("storage", "net1", "bridge"));
        let entries = [sample::entry("newer", vec![cluster.clone(), storage.clone()])];
        let all = [alive("newer"), alive("older"), alive("plain")];
        let living = Living::of(&shim, &ledger, &entries, &all, Some(&cluster));
        assert_eq!(kept(&living, &storage), ["newer net1", "older data0"]);
        assert_eq!(kept(&living, &cluster), ["newer eth0", "older eth0", "plain eth0"]);
        let gone = [alive("newer")];
        let living = Living::of(&shim, &ledger, &entries, &gone, Some(&cluster));
        assert_eq!(kept(&living, &storage), ["newer net1"]);
    }

    // Shows part of: F-DSK-3, MLT-CACHE-5
    #[test]
    fn nothing_is_cleared_of_a_network_while_nobody_knows_who_is_in_it() {
        let state = tempfile::tempdir().unwrap();
        let shim = sample::shim(state.path());
        let ledger = Ledger::open(state.path()).unwrap();
        let (cluster, storage) =
            (sample::recorded("cluster", "eth0", "loopback"), sample::recorded("storage", "net1", "bridge"));
        ledger.write(&sample::entry("torn", vec![cluster.clone(), storage.clone()])).unwrap();
        std::fs::write(state.path().join("torn"), "manifold").unwrap();
        let all = [alive("torn")];
        // Set aside by the first, it is no entry less by the second.
        for _ in 0..2 {
            let living = Living::of(&shim, &ledger, &[], &all, Some(&cluster));
            let error = living.keep(&storage).unwrap_err().to_string();
            assert!(error.contains("`shop/storage` is not cleared: sandbox `torn` is alive"), "{error}");
            assert_eq!(kept(&living, &cluster), ["torn eth0"]);
        }
        let living = Living::of(&shim, &ledger, &[], &[], Some(&cluster));
        assert!(kept(&living, &storage).is_empty());
    }
}
