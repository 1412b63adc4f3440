//! Interfaces on a wire that nodes share, and `host-local`, which counts on its own node alone (IPAM-85).

use manifold_cni::RawObject;

use crate::problem::{Note, Problem};
use crate::{cluster_local, ipam};

/// The interfaces of all nodes that these plugins make can be on one wire.
const SHARED: &[&str] = &["macvlan", "ipvlan", "vlan", "sriov", "host-device", "bond"];
/// The note, with what to write instead.
pub(crate) fn note(type_name: &str, config: &RawObject) -> Result<Option<Note>, Problem> {
    if !SHARED.contains(&type_name) {
        return Ok(None);
    }
    // No value is repeated: a section can hold keys of others, and their secrets.
    let folder = ipam::section(config)?.get("dataDir").map_or("", |_| " and remove `dataDir`");
    Ok(Some(Note {
        pointer: "/ipam/type".into(),
        sentence: format!(
            "host-local counts on each node for itself, so with `{type_name}` every node will give out the same addresses; replace \
             `\"type\": \"host-local\"` with `\"type\": \"{}\"`{folder}, or give each node its own range",
            cluster_local::TYPE
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    fn notes(kind: &str, keys: &str, ipam: &str) -> Vec<String> {
        let raw = RawObject::parse(format!(r#"{{{keys}"ipam":{{{ipam}}}}}"#).as_bytes()).unwrap();
        check(kind, &raw)
            .unwrap()
            .into_iter()
            .map(|note| format!("{} {}", note.pointer, note.sentence))
            .collect()
    }

    const LOCAL: &str = r#""type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}]]"#;

    // Shows part of: IPAM-85
    #[test]
    fn host_local_on_a_shared_wire_is_noted_with_the_replacement() {
        for (kind, keys) in [
            ("macvlan", ""),
            ("ipvlan", ""),
            ("vlan", r#""master":"eth1","vlanId":5,"#),
            ("sriov", r#""deviceID":"0000:03:02.1","#),
            ("host-device", r#""device":"eth1","#),
            (
                "bond",
                r#""mode":"active-backup","links":[{"name":"net1"},{"name":"net2"}],"linksInContainer":true,"#,
            ),
        ] {
            let found = notes(kind, keys, LOCAL);
            let told: Vec<_> = found.iter().filter(|note| note.contains("same addresses")).collect();
            let [note] = told[..] else { panic!("{kind}: {found:?}") };
            assert!(note.starts_with("/ipam/type "), "{note}");
            let instead = r#"replace `"type": "host-local"` with `"type": "cluster-local"`, or give each node its own range"#;
            assert!(note.contains(kind) && note.ends_with(instead), "{note}");
            // The replacement is one.
            let better = notes(kind, keys, &LOCAL.replace("host-local", "cluster-local"));
            assert!(!better.iter().any(|note| note.contains("same addresses")), "{better:?}");
        }
        let with_folder = notes("macvlan", "", &format!(r#"{LOCAL},"dataDir":"/x""#));
        assert!(with_folder[0].contains("and remove `dataDir`, or"), "{with_folder:?}");
        let with_secret = notes("macvlan", "", &format!(r#"{LOCAL},"apiToken":"canary""#));
        assert!(!with_secret.iter().any(|note| note.contains("canary")), "{with_secret:?}");
    }

    // Shows part of: IPAM-85
    #[test]
    fn what_gives_no_address_twice_is_not_noted() {
        for (kind, keys, ipam) in [
            // A bridge and the host's end of a veth are each node's own.
            ("bridge", "", LOCAL),
            ("ptp", "", LOCAL),
            // Each node brings its own range.
            ("macvlan", r#""capabilities":{"ipRanges":true},"#, r#""type":"host-local""#),
            ("macvlan", r#""capabilities":{"ipRanges":true},"#, LOCAL),
            ("macvlan", "", r#""type":"static","addresses":[{"address":"10.1.0.5/24"}]"#),
            ("macvlan", "", r#""type":"whereabouts","range":"10.1.0.0/24""#),
        ] {
            assert_eq!(notes(kind, keys, ipam), [""; 0], "{kind} {ipam}");
        }
    }
}
