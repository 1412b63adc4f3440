//! The oracle is tested first: a leak of every kind is planted, and it must say so. What is taken up again, must not.

mod definition;
mod node;
mod traffic;

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use manifold_e2e::leaks::{Oracle, Snapshot};
use manifold_e2e::netns::{HostNs, TestNetns};

/// A host with a bridge and a pod on it: there is something that leaks can hang on, and that can be taken away.
struct Bed {
    host: HostNs,
    pod: TestNetns,
    /// Taken when it is first needed; every leak is taken up again, so it serves them all.
    rest: OnceCell<Snapshot>,
}

impl Bed {
    fn new() -> Self {
        let bed =
            Self { host: HostNs::new().unwrap(), pod: TestNetns::new().unwrap(), rest: OnceCell::new() };
        bed.host.veth_to(&bed.pod, "v0", "eth0").unwrap();
        for words in [
            // A group that is all joined before, and a bridge that keeps its address, keep the noise down.
            "ip link add br0 address 02:00:00:00:00:aa type bridge",
            "ip link set br0 up",
            "ip link set v0 master br0",
            "ip addr add 10.1.0.1/24 dev br0",
        ] {
            bed.on_host(words);
        }
        bed.in_pod("ip addr add 10.1.0.2/24 dev eth0");
        bed.in_pod("ip route add default via 10.1.0.1");
        for (netns, link) in [(bed.host.netns(), "br0"), (bed.host.netns(), "v0"), (&bed.pod, "eth0")] {
            netns.wait_for_own_address(link).unwrap();
        }
        fs::create_dir_all(bed.leases()).unwrap();
        fs::write(bed.leases().join("10.1.0.2"), "container\neth0").unwrap();
        bed
    }

    fn leases(&self) -> PathBuf {
        self.host.folder().join("networks/right")
    }

    fn state(&self) -> PathBuf {
        self.host.folder().join("manifold")
    }

    /// For a test that adds something to hang the next leaks on.
    #[track_caller]
    fn prepare(&mut self, words: &str) {
        self.on_host(words);
        self.rest = OnceCell::new();
    }

    #[track_caller]
    fn on_host(&self, words: &str) {
        self.host.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }

    #[track_caller]
    fn in_pod(&self, words: &str) {
        self.pod.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }

    fn oracle(&self) -> Oracle<'_> {
        Oracle::new(&self.host)
            .pod(&self.pod)
            .folder("leases", &self.host.folder().join("networks"))
            .folder("state", &self.state())
    }

    /// What the oracle says while the leak is there. Afterwards, and before, it must say nothing.
    #[track_caller]
    fn plant(&self, plant: impl FnOnce(), remove: impl FnOnce()) -> Vec<String> {
        let oracle = self.oracle();
        let before = self.rest.get_or_init(|| settled(&oracle));
        plant();
        let leaks = before.diff(&oracle.snapshot().unwrap());
        remove();
        assert_as_before(&oracle, before);
        leaks
    }

    /// Plants by a command line, removes by another, and expects a sentence that begins so.
    #[track_caller]
    fn leak(&self, place: &str, plant: &str, remove: &str, expected: &str) {
        let run = |words: &str| match place {
            "host" => self.on_host(words),
            _ => self.in_pod(words),
        };
        let leaks = self.plant(|| run(plant), || run(remove));
        assert_told(&leaks, &format!("{place}: {expected}"));
    }
}

/// Named namespaces come and go beside a test: one of these tests plants some, and others on the machine make theirs.
fn is_of_others(leak: &str) -> bool {
    leak.starts_with("machine: network namespace")
}

#[track_caller]
fn assert_as_before(oracle: &Oracle<'_>, before: &Snapshot) {
    let leaks = oracle.leaks_but(before, is_of_others).unwrap();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[track_caller]
fn assert_told(leaks: &[String], expected: &str) {
    assert!(leaks.iter().any(|leak| leak.starts_with(expected)), "`{expected}` is not among {leaks:#?}");
}

/// Fresh links join groups and detect duplicate addresses for a moment; the snapshot is taken when that is over.
fn settled(oracle: &Oracle<'_>) -> Snapshot {
    let mut last = oracle.snapshot().unwrap();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(30));
        let next = oracle.snapshot().unwrap();
        if last.diff(&next).iter().all(|leak| is_of_others(leak)) {
            return next;
        }
        last = next;
    }
    panic!("the test's host does not come to rest");
}

// Proves: T-1
#[test]
fn a_link_of_each_type_that_is_left_on_the_host_is_told() {
    let bed = Bed::new();
    for (name, how) in [
        ("left0", "type bridge"),
        ("left1", "type veth peer name left1p"),
        ("left2", "link br0 type macvlan mode bridge"),
        ("left3", "type vxlan id 7 remote 10.1.0.9 dstport 4789"),
        ("left4", "type ifb"),
    ] {
        let add = match how.strip_prefix("link br0 ") {
            Some(rest) => format!("ip link add {name} link br0 {rest}"),
            None => format!("ip link add {name} {how}"),
        };
        bed.leak("host", &add, &format!("ip link del {name}"), &format!("link `{name}` appeared"));
    }
    bed.leak("host", "ip tuntap add left5 mode tap", "ip tuntap del left5 mode tap", "link `left5` appeared");
}

// Proves: T-1
#[test]
fn a_link_that_is_changed_or_gone_is_told() {
    let bed = Bed::new();
    bed.leak(
        "host",
        "ip link set v0 mtu 1400",
        "ip link set v0 mtu 1500",
        "link `v0` changed: mtu was `1500`, is `1400`",
    );
    bed.leak("host", "ip link set v0 nomaster", "ip link set v0 master br0", "link `v0` changed: ");
    bed.leak("host", "ip link set lo down", "ip link set lo up", "link `lo` changed: flags was");
    bed.leak(
        "host",
        "ip link property add dev v0 altname spare",
        "ip link property del dev v0 altname spare",
        "link `v0` changed: altnames was unset, is `spare`",
    );
    bed.leak(
        "host",
        "ip link set br0 promisc on",
        "ip link set br0 promisc off",
        "link `br0` changed: flags was",
    );
    bed.leak("pod 1", "ip link set eth0 name net1", "ip link set net1 name eth0", "link `eth0` vanished");
}

// Proves: T-1
#[test]
fn a_link_left_in_a_pod_is_told_as_the_pods() {
    let bed = Bed::new();
    bed.leak("pod 1", "ip link add net1 link eth0 type macvlan", "ip link del net1", "link `net1` appeared");
}

// Proves: T-1
#[test]
fn addresses_are_told() {
    let bed = Bed::new();
    for (place, address, link) in
        [("host", "10.9.0.1/24", "br0"), ("host", "fd00::9/64", "br0"), ("pod 1", "10.9.0.2/32", "eth0")]
    {
        bed.leak(
            place,
            &format!("ip addr add {address} dev {link}"),
            &format!("ip addr del {address} dev {link}"),
            &format!("address `{address} on {link}` appeared"),
        );
    }
    // The route goes with the address, and comes back only by hand.
    let leaks = bed.plant(
        || bed.in_pod("ip addr del 10.1.0.2/24 dev eth0"),
        || {
            bed.in_pod("ip addr add 10.1.0.2/24 dev eth0");
            bed.in_pod("ip route add default via 10.1.0.1");
        },
    );
    assert_told(&leaks, "pod 1: address `10.1.0.2/24 on eth0` vanished");
    assert_told(&leaks, "pod 1: route `default eth0` vanished");
}

// Proves: T-1
#[test]
fn routes_of_every_table_are_told() {
    let bed = Bed::new();
    for (place, route, expected) in [
        ("host", "10.7.0.0/16 via 10.1.0.2", "route `10.7.0.0/16 br0` appeared"),
        ("host", "blackhole 10.8.0.0/16 table 99", "route `blackhole 10.8.0.0/16 99` appeared"),
        ("host", "10.7.0.0/16 dev br0 table 4000000", "route `10.7.0.0/16 br0 4000000` appeared"),
        ("pod 1", "10.7.0.0/16 via 10.1.0.1", "route `10.7.0.0/16 eth0` appeared"),
    ] {
        bed.leak(place, &format!("ip route add {route}"), &format!("ip route del {route}"), expected);
    }
    let six = "fd07::/64 dev br0 table 77";
    bed.leak(
        "host",
        &format!("ip -6 route add {six}"),
        &format!("ip -6 route del {six}"),
        "route `fd07::/64 br0 77` appeared",
    );
    bed.leak(
        "pod 1",
        "ip route change default via 10.1.0.1 metric 0 mtu 1200",
        "ip route change default via 10.1.0.1",
        "route `default eth0` changed",
    );
    bed.leak(
        "host",
        "ip nexthop add id 70 via 10.1.0.5 dev br0",
        "ip nexthop del id 70",
        "nexthop `70` appeared",
    );
}

// Proves: T-1
#[test]
fn rules_are_told() {
    let bed = Bed::new();
    for family in ["-4", "-6"] {
        bed.leak(
            "pod 1",
            &format!("ip {family} rule add priority 500 table 100"),
            &format!("ip {family} rule del priority 500 table 100"),
            "rule `500 all 100` appeared",
        );
    }
    bed.leak(
        "host",
        "ip rule add from 10.1.0.2 table 100",
        "ip rule del from 10.1.0.2 table 100",
        "rule `32765 10.1.0.2 100` appeared",
    );
}

// Proves: T-1
#[test]
fn neighbours_and_bridge_entries_that_somebody_set_are_told() {
    let bed = Bed::new();
    let mac = "02:00:00:00:00:09";
    for neighbour in ["10.1.0.9", "fd00::9"] {
        bed.leak(
            "host",
            &format!("ip neigh add {neighbour} lladdr {mac} dev br0 nud permanent"),
            &format!("ip neigh del {neighbour} dev br0"),
            &format!("neighbour `{neighbour} br0` appeared"),
        );
    }
    bed.leak(
        "host",
        "ip neigh add proxy 10.1.0.7 dev br0",
        "ip neigh del proxy 10.1.0.7 dev br0",
        "neighbour `10.1.0.7 br0` appeared",
    );
    bed.leak(
        "host",
        &format!("bridge fdb add {mac} dev v0 master static"),
        &format!("bridge fdb del {mac} dev v0 master"),
        &format!("fdb entry `{mac} v0` appeared"),
    );
    bed.leak(
        "host",
        "bridge mdb add dev br0 port v0 grp 239.1.1.1 permanent",
        "bridge mdb del dev br0 port v0 grp 239.1.1.1 permanent",
        "mdb entry `239.1.1.1 v0 br0` appeared",
    );
}

// Proves: T-1
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn a_vlan_on_a_bridge_port_is_told() {
    let mut bed = Bed::new();
    bed.prepare("ip link set br0 type bridge vlan_filtering 1");
    bed.leak(
        "host",
        "bridge vlan add dev v0 vid 7",
        "bridge vlan del dev v0 vid 7",
        "bridge VLAN `7 on v0` appeared",
    );
    bed.leak(
        "host",
        "bridge vlan add dev br0 vid 9 self",
        "bridge vlan del dev br0 vid 9 self",
        "bridge VLAN `9 on br0` appeared",
    );
}

// Proves: T-1
#[test]
fn a_pod_that_is_gone_is_one_leak_and_its_end_of_the_veth_another() {
    let bed = Bed::new();
    let oracle = bed.oracle();
    let before = settled(&oracle);
    bed.pod.delete();
    // The kernel takes down what was in it when it comes to it.
    let until = Instant::now() + Duration::from_secs(60);
    let leaks = loop {
        let leaks = before.diff(&oracle.snapshot().unwrap());
        if leaks.iter().any(|leak| leak.starts_with("host: link")) || Instant::now() > until {
            break leaks;
        }
    };
    assert_told(&leaks, "pod 1: network namespace `itself` appeared: state gone");
    assert_told(&leaks, "host: link `v0` vanished");
}

#[test]
fn traffic_counters_leases_bookkeeping_and_what_neighbours_learn_are_no_leaks() {
    let bed = Bed::new();
    bed.on_host("nft add table ip kept");
    bed.on_host("nft add chain ip kept c { type filter hook input priority 0 ; }");
    bed.on_host("nft add rule ip kept c counter accept");
    let oracle = bed.oracle();
    let before = settled(&oracle);
    bed.in_pod("ping -c 2 -i 0.2 -W 5 10.1.0.1");
    let learned = bed.host.exec(&["ip", "neigh"]).unwrap();
    assert!(learned.contains("10.1.0.2"), "{learned}");
    fs::write(bed.leases().join("last_reserved_ip.0"), "10.1.0.2").unwrap();
    fs::write(bed.leases().join("lock"), "").unwrap();
    let mut leaks = before.diff(&oracle.snapshot().unwrap());
    leaks.retain(|leak| !is_of_others(leak));
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn a_link_that_comes_and_goes_leaves_nothing() {
    let bed = Bed::new();
    let oracle = bed.oracle();
    let before = settled(&oracle);
    bed.on_host("ip link add v9 type veth peer name net9");
    bed.on_host("ip link set v9 master br0 up");
    bed.on_host(&format!("ip link set net9 netns {}", bed.pod.name()));
    bed.in_pod("ip link set net9 up");
    bed.in_pod("ip addr add 10.5.0.1/24 dev net9");
    bed.on_host("ip link del v9");
    assert_as_before(&oracle, &before);
}

#[test]
fn the_programs_that_the_oracle_needs_are_installed() {
    for program in ["ip", "bridge", "tc", "nft", "sysctl", "ping"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        assert!(found.status.success(), "`{program}` is not installed");
    }
}
