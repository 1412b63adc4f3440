//! Which plugins cannot work without a device of the pod: those that move one, and those whose definition declares that they
//! take one (capability `deviceID`).
//!
//! Of a plugin that is not known nothing is assumed: it gets no device and says itself what it lacks, as it would below Multus.

use manifold_cni::{NetworkList, PluginConf, PluginType};

use crate::capability::DEVICE_ID;

/// A plugin, and the keys by which its own configuration can name the device instead. What the pod is given arrives under
/// the last two (MLT-DLG-11).
struct Need {
    kind: &'static str,
    keys: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need { kind: "sriov", keys: &["deviceID"] },
    Need { kind: "host-device", keys: &["device", "hwaddr", "kernelpath", "pciBusID", "deviceID"] },
    Need { kind: "ib-sriov", keys: &["deviceID"] },
    Need { kind: "accelerated-bridge", keys: &["deviceID"] },
    Need { kind: "macvtap", keys: &["deviceID"] },
];

/// The first plugin of the list that needs a device and does not name one itself.
pub(crate) fn of_list(list: &NetworkList) -> Option<&PluginType> {
    list.plugins.iter().find(|plugin| needs(plugin)).map(|plugin| &plugin.kind)
}

fn needs(plugin: &PluginConf) -> bool {
    if plugin.capabilities.get(DEVICE_ID).copied().unwrap_or_default() {
        return true;
    }
    let names =
        |key: &&str| plugin.raw.get_as::<String>(key).ok().flatten().is_some_and(|value| !value.is_empty());
    let need = NEEDS.iter().find(|need| need.kind == plugin.kind.as_str());
    need.is_some_and(|need| !need.keys.iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &str, expected: Option<&str>) {
        let list = NetworkList::parse(config.as_bytes()).unwrap();
        assert_eq!(of_list(&list).map(PluginType::as_str), expected, "{config}");
    }

    // Shows part of: COMPAT-4
    #[test]
    fn only_plugins_that_move_a_device_need_one() {
        for kind in ["bridge", "ovs", "macvlan", "vendor-plugin", "tuning"] {
            check(&format!(r#"{{"type":"{kind}"}}"#), None);
        }
        for kind in ["sriov", "host-device", "ib-sriov", "accelerated-bridge", "macvtap"] {
            check(&format!(r#"{{"type":"{kind}","deviceID":""}}"#), Some(kind));
            check(&format!(r#"{{"plugins":[{{"type":"{kind}"}},{{"type":"tuning"}}]}}"#), Some(kind));
            check(&format!(r#"{{"type":"{kind}","deviceID":"0000:03:02.1"}}"#), None);
        }
        check(r#"{"type":"host-device","device":"eth1"}"#, None);
        check(r#"{"type":"ovs","capabilities":{"deviceID":true}}"#, Some("ovs"));
        check(r#"{"type":"ovs","capabilities":{"deviceID":false}}"#, None);
    }
}
