//! The reviewed list: what may differ between two snapshots although nothing leaked. Each entry says why.
//!
//! Whatever is not here is reported. An entry must be something that the kernel does by itself, or that a standard
//! plugin leaves on purpose; what would hide an object of ours does not belong here.

use super::fact::{Fields, Kind};

/// Queueing disciplines that every link has that nobody shaped.
pub(super) const DEFAULT_QDISCS: [&str; 5] = ["noqueue", "noop", "mq", "pfifo_fast", "fq_codel"];

/// Things that are not looked at.
pub(super) fn thing(kind: Kind, name: &str, fields: &Fields) -> bool {
    let is = |field: &str, value: &str| fields.get(field).is_some_and(|found| found == value);
    match kind {
        // Learned by ARP and neighbour discovery, or forced by a multicast address; they time out by themselves.
        Kind::Neighbour => !is("/state", "PERMANENT") && !fields.contains_key("/proxy"),
        // Learned from traffic; or the kernel's own listening for a multicast group; or a bridge's own address, which
        // follows its ports.
        Kind::Forwarding => {
            let is_group = |mac: &str| mac.starts_with("33:33:") || mac.starts_with("01:00:5e:");
            let learned = !is("/state", "permanent") && !is("/state", "static");
            let own = fields.get("/ifname").is_some() && fields.get("/ifname") == fields.get("/master");
            learned || own || (is("/flags", "self") && fields.get("/mac").is_some_and(|mac| is_group(mac)))
        }
        // Joined by hosts, seen by snooping.
        Kind::Group => !is("/state", "permanent"),
        // An address brings them, an IPv6 address only when nobody else turned out to have it: told by the address.
        Kind::Route => is("/table", "local") && is("/protocol", "kernel"),
        Kind::Qdisc => DEFAULT_QDISCS.iter().any(|kind| is("/kind", kind)),
        // A counter under the name of a setting.
        Kind::Sysctl => name == "net/netfilter/nf_conntrack_count",
        // host-local keeps a folder for each network, the last address given, and its lock, for ever.
        Kind::File => {
            let file = name.rsplit('/').next().unwrap_or_default();
            let network =
                name.matches('/').count() == 1 && fields.get("mode").is_some_and(|m| m.starts_with("40"));
            let of_host_local = network || file == "lock" || file.starts_with("last_reserved_ip.");
            // For which boot the records of earlier ones were removed.
            let boot = matches!(name, "links/made/.boot" | "links/lent/.boot");
            boot || (name.starts_with("leases/") && of_host_local)
        }
        _ => false,
    }
}

/// Fields that say how something is doing, not what it is.
pub(super) fn field(kind: Kind, field: &str) -> bool {
    let last = field.rsplit('/').next().unwrap_or_default();
    match kind {
        Kind::Link => link_field(field, last),
        // Lifetimes run down; duplicate address detection ends by itself.
        Kind::Address => {
            matches!(last, "valid_life_time" | "preferred_life_time" | "tentative" | "optimistic")
        }
        // Lifetimes of advertised routes and of fdb entries run down.
        Kind::Route | Kind::Forwarding => matches!(last, "expires" | "used" | "updated"),
        // How many refer to it, and how many packets passed.
        Kind::Qdisc | Kind::Nexthop => matches!(last, "refcnt" | "direct_packets_stat"),
        // Numbers that the kernel gives anew to each object, and counts of packets.
        Kind::Firewall => matches!(last, "handle" | "packets" | "bytes" | "used" | "expires"),
        _ => false,
    }
}

fn link_field(field: &str, last: &str) -> bool {
    // Numbers of links and namespaces are given anew when something moves away and comes back.
    let number = matches!(last, "ifindex" | "link_index" | "link_netnsid" | "link_netns");
    // Carrier follows the other end.
    let carrier = last == "operstate";
    // A spanning tree's state and timers, and the identity that a bridge takes from its ports.
    let below = field.starts_with("/linkinfo/info_data/") || field.starts_with("/linkinfo/info_slave_data/");
    let timer =
        last.ends_with("_timer") || last.starts_with("topology_change") || last.starts_with("designated_");
    let identity =
        matches!(last, "bridge_id" | "root_id" | "root_port" | "root_path_cost" | "state" | "fdb_n_learned");
    number || carrier || (below && (timer || identity))
}

/// Words in lists of flags that follow the carrier.
pub(super) fn flag(word: &str) -> bool {
    matches!(
        word,
        "LOWER_UP" | "NO-CARRIER" | "RUNNING" | "M-DOWN" | "linkdown" | "dead" | "offload" | "trap"
    )
}
