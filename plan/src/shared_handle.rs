//! Attachments of one pod that an IPAM plugin cannot tell apart.
//!
//! calico-ipam keeps addresses under network name and container, without the interface. Two attachments of a pod to
//! one such network share that handle, and releasing either releases both: harmless at the pod's end, where both go, but
//! worth a word to whoever wonders where an address went (PLG-CAL-4).

use manifold_cni::{PluginConf, RawObject};

use crate::plan::Planned;

const BY_NETWORK_ONLY: &str = "calico-ipam";

/// A line for each attachment that shares its handle with an earlier one.
pub(crate) fn notes(attachments: &[Planned]) -> Vec<String> {
    let asks: Vec<&Planned> = attachments.iter().filter(|a| a.list.plugins.iter().any(asks_calico)).collect();
    let earlier = |place: usize, of: &Planned| {
        asks.iter().take(place).find(|other| other.network == of.network).map(|other| &other.ifname)
    };
    let note = |(place, later): (usize, &&Planned)| {
        let first = earlier(place, later)?;
        Some(format!(
            "network `{}`: `{BY_NETWORK_ONLY}` keeps the addresses of `{first}` and `{}` under one handle, so \
             releasing either releases both; give each a network name of its own",
            later.network, later.ifname
        ))
    };
    asks.iter().enumerate().filter_map(note).collect()
}

fn asks_calico(plugin: &PluginConf) -> bool {
    let ipam = plugin.raw.get_as::<RawObject>("ipam").ok().flatten();
    let kind = ipam.and_then(|ipam| ipam.get_as::<String>("type").ok().flatten());
    kind.as_deref() == Some(BY_NETWORK_ONLY)
}

#[cfg(test)]
mod tests {
    use crate::tests::support::Bed;

    const CALICO: &str =
        r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth0","ipam":{"type":"calico-ipam"}}"#;

    // Proves: PLG-CAL-4
    #[test]
    fn a_network_of_calico_ipam_that_is_asked_for_twice_is_told() {
        let bed = |networks: &str| Bed::asking(networks).nad("shop", "a", CALICO).nad("shop", "b", CALICO);
        let notes = bed("a,b,a").plan().notes;
        let [note] = &notes[..] else { panic!("{notes:?}") };
        for part in ["`a`", "`net1` and `net3`", "a network name of its own"] {
            assert!(note.contains(part), "{note}");
        }
        assert!(bed("a,b").plan().notes.is_empty());
        assert!(bed("c,c").plan().notes.is_empty());
    }
}
