//! IPv6 of an interface without IPv6 addresses: the interface's plugin switched it off, and settings of it would have no
//! effect (COMPAT-10). Whoever sets `accept_ra` wants what routers advertise.

use manifold_cni::{Attachment, CniError, IfName};
use manifold_net::{Net, SysctlError, sysctl};
use manifold_plugin_conf::TuningConf;

use crate::interface::failure::Told;
use crate::interface::undo::Undo;

const SWITCH: &str = "disable_ipv6";
/// Settings that ask for nothing where they are 0: they only say what the interface is not to do.
const NOTHING_AT_ZERO: [&str; 6] = [
    "accept_ra",
    "autoconf",
    "accept_redirects",
    "accept_source_route",
    "forwarding",
    "router_solicitations",
];

/// After all settings are written, so that the first address is made by them.
pub(super) fn switch_on<'a>(
    undo: &mut Undo<'a>,
    conf: &TuningConf,
    at: &'a Attachment,
    pod: &'a Net,
) -> Result<(), CniError> {
    if !is_wanted(conf, &at.ifname) {
        return Ok(());
    }
    let name = at.ifname.as_str();
    let hears_routers = sets(conf, &at.ifname, "accept_ra");
    let switched = pod.netns().run(|| switch_on_here(name, hears_routers)).told()?.told()?;
    if switched {
        undo.done("IPv6", move || sysctl::set_in(pod.netns(), &named(name), "1").told())?;
    }
    Ok(())
}

/// Whether a setting has to do with IPv6 of this interface and leaves the switch itself alone.
fn is_wanted(conf: &TuningConf, ifname: &IfName) -> bool {
    let mut wanted = false;
    for setting in &conf.sysctls {
        let pieces = setting.pieces(ifname);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        match pieces.as_slice() {
            ["net", "ipv6", "conf", link, SWITCH] if *link == ifname.as_str() => return false,
            ["net", "ipv6", "conf" | "neigh", link, name] if *link == ifname.as_str() => {
                wanted |= setting.value.trim() != "0" || !NOTHING_AT_ZERO.contains(name);
            }
            _ => {}
        }
    }
    wanted
}

fn sets(conf: &TuningConf, ifname: &IfName, name: &str) -> bool {
    conf.sysctls.iter().any(|setting| {
        let pieces = setting.pieces(ifname);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        pieces == ["net", "ipv6", "conf", ifname.as_str(), name]
    })
}

/// Where the whole namespace is without IPv6 that was somebody else's decision.
fn switch_on_here(link: &str, hears_routers: bool) -> Result<bool, SysctlError> {
    let is_off = |link: &str| sysctl::get(&named(link)).is_ok_and(|value| value.trim() == "1");
    if is_off("default") || !is_off(link) {
        return Ok(false);
    }
    // Routers are heard only where the network's author says so; the kernel would hear them by itself.
    if !hears_routers {
        sysctl::set(&["net", "ipv6", "conf", link, "accept_ra"], "0")?;
    }
    sysctl::set(&named(link), "0").map(|()| true)
}

fn named(link: &str) -> [&str; 5] {
    ["net", "ipv6", "conf", link, SWITCH]
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, RawObject};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(settings: &serde_json::Value, expected: bool) {
        let raw = json!({"sysctl": settings}).to_string();
        let conf = TuningConf::read(&RawObject::parse(raw.as_bytes()).unwrap(), &CniArgs::default()).unwrap();
        assert_eq!(is_wanted(&conf, &"net.1".parse().unwrap()), expected, "{raw}");
    }

    // Proves: COMPAT-10
    #[test]
    fn settings_of_the_interface_want_ipv6_unless_they_only_forbid() {
        check(&json!({"net.ipv6.conf.IFNAME.accept_ra": "2"}), true);
        check(&json!({"net/ipv6/conf/IFNAME/addr_gen_mode": "0"}), true);
        check(&json!({"net/ipv6/neigh/IFNAME/retrans_time_ms": "100"}), true);
        check(&json!({"net.ipv6.conf.IFNAME.accept_ra": "0", "net.ipv6.conf.IFNAME.autoconf": "0"}), false);
        check(
            &json!({"net.ipv6.conf.IFNAME.accept_ra": "2", "net.ipv6.conf.IFNAME.disable_ipv6": "1"}),
            false,
        );
        check(&json!({"net.ipv6.conf.all.accept_ra": "2", "net.ipv4.conf.IFNAME.arp_filter": "1"}), false);
        check(&json!({}), false);
    }
}
