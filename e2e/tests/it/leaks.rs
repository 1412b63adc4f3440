//! The oracle is tested first: a leak of every kind is planted, and it must say so. What is taken up again, must not.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::leaks::{Oracle, Snapshot};
use manifold_e2e::netns::{HostNs, TestNetns};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

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
        oracle.assert_as_before(before);
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
        if last.diff(&next).is_empty() {
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
fn traffic_control_is_told() {
    let mut bed = Bed::new();
    bed.leak(
        "host",
        "tc qdisc add dev v0 root handle 1: tbf rate 1mbit burst 10k latency 10ms",
        "tc qdisc del dev v0 root",
        "tc qdisc `tbf 1: on v0` appeared",
    );
    bed.leak(
        "host",
        "tc qdisc add dev v0 ingress",
        "tc qdisc del dev v0 ingress",
        "tc qdisc `ingress ffff: on v0` appeared",
    );
    bed.leak(
        "pod 1",
        "tc qdisc add dev eth0 clsact",
        "tc qdisc del dev eth0 clsact",
        "tc qdisc `clsact ffff: on eth0` appeared",
    );
    bed.prepare("tc qdisc add dev v0 root handle 1: htb");
    bed.leak(
        "host",
        "tc class add dev v0 parent 1: classid 1:7 htb rate 1mbit",
        "tc class del dev v0 classid 1:7",
        "tc class `htb 1:7 on v0` appeared",
    );
    bed.leak(
        "host",
        "tc filter add dev v0 parent 1: protocol all prio 5 u32 match u32 0 0 flowid 1:1",
        "tc filter del dev v0 parent 1: prio 5",
        "tc filter `u32 5 at parent 1: of v0` appeared",
    );
    bed.prepare("tc class add dev v0 parent 1: classid 1:8 htb rate 1mbit");
    bed.leak(
        "host",
        "tc filter add dev v0 parent 1:8 protocol all prio 5 u32 match u32 0 0 flowid 1:1",
        "tc filter del dev v0 parent 1:8 prio 5",
        "tc filter `u32 5 at parent 1:8 of v0` appeared",
    );
    bed.prepare("tc qdisc add dev br0 clsact");
    for side in ["ingress", "egress"] {
        bed.leak(
            "host",
            &format!("tc filter add dev br0 {side} protocol all prio 6 u32 match u32 0 0 flowid 1:1"),
            &format!("tc filter del dev br0 {side} prio 6"),
            &format!("tc filter `u32 6 at {side} of br0` appeared"),
        );
    }
}

// Proves: T-1
#[test]
fn firewall_rules_old_and_new_are_told() {
    let mut bed = Bed::new();
    bed.leak(
        "host",
        "nft add table inet left",
        "nft delete table inet left",
        "firewall `table inet left` appeared",
    );
    for words in [
        "nft add table ip kept",
        "nft add chain ip kept c { type nat hook postrouting priority 100 ; }",
        "nft add set ip kept s { type ipv4_addr ; }",
        "nft add rule ip kept c counter accept",
    ] {
        bed.prepare(words);
    }
    bed.leak(
        "host",
        "nft add chain ip kept d",
        "nft delete chain ip kept d",
        "firewall `chain ip kept d` appeared",
    );
    bed.leak(
        "host",
        "nft add element ip kept s { 10.1.0.2 }",
        "nft delete element ip kept s { 10.1.0.2 }",
        "firewall `set ip kept s` changed",
    );
    let leaks = bed.plant(
        || bed.on_host("nft add rule ip kept c masquerade"),
        || {
            bed.on_host("nft flush chain ip kept c");
            bed.on_host("nft add rule ip kept c counter accept");
        },
    );
    assert_told(&leaks, "host: firewall `rule ip kept c` appeared: chain c");
}

// Proves: T-1
#[test]
fn a_rule_of_the_old_iptables_is_told() {
    let mut bed = Bed::new();
    // The first use makes the table, for good.
    bed.prepare("iptables-legacy -t nat -L -n");
    bed.leak(
        "host",
        "iptables-legacy -t nat -A POSTROUTING -s 10.1.0.2/32 -j MASQUERADE",
        "iptables-legacy -t nat -D POSTROUTING -s 10.1.0.2/32 -j MASQUERADE",
        "firewall `iptables-legacy-save nat` appeared",
    );
    bed.leak(
        "host",
        "iptables-legacy -t nat -N LEFT",
        "iptables-legacy -t nat -X LEFT",
        "firewall `iptables-legacy-save nat` appeared: line :LEFT",
    );
}

// Proves: T-1
#[test]
fn settings_are_told() {
    let bed = Bed::new();
    for (place, setting, was, is) in [
        ("host", "net/ipv4/ip_forward", "0", "1"),
        ("host", "net/ipv4/conf/v0/proxy_arp", "0", "1"),
        ("pod 1", "net/ipv6/conf/eth0/accept_ra", "1", "0"),
    ] {
        let key = setting.replace('/', ".");
        bed.leak(
            place,
            &format!("sysctl -q -w {key}={is}"),
            &format!("sysctl -q -w {key}={was}"),
            &format!("sysctl `{setting}` changed: value was `{was}`, is `{is}`"),
        );
    }
}

// Proves: T-1
#[test]
fn a_mount_of_a_namespace_that_is_left_is_told() {
    let bed = Bed::new();
    let path = Path::new("/run/netns").join(format!("planted-{}", std::process::id()));
    let told = format!("machine: network namespace `{}` appeared", path.display());
    let plant = || {
        File::create_new(&path).unwrap();
        mount(Some(bed.pod.path()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    };
    let remove = || {
        umount2(&path, MntFlags::MNT_DETACH).unwrap();
        fs::remove_file(&path).unwrap();
    };
    assert_told(&bed.plant(plant, remove), &told);
    // Without its mount, as a crash in between leaves it.
    let leaks = bed.plant(|| drop(File::create_new(&path).unwrap()), || fs::remove_file(&path).unwrap());
    assert_told(&leaks, &told);
}

// Proves: T-1
#[test]
fn files_of_leases_ledger_locks_spool_and_devices_are_told() {
    let bed = Bed::new();
    let lease = bed.leases().join("10.1.0.3");
    let leaks =
        bed.plant(|| fs::write(&lease, "container\neth0").unwrap(), || fs::remove_file(&lease).unwrap());
    assert_told(&leaks, "machine: file `leases/right/10.1.0.3` appeared");

    let kept = bed.leases().join("10.1.0.2");
    let leaks = bed
        .plant(|| fs::write(&kept, "other\neth0").unwrap(), || fs::write(&kept, "container\neth0").unwrap());
    assert_told(&leaks, "machine: file `leases/right/10.1.0.2` changed: content was");

    let mode = |mode| fs::set_permissions(&kept, fs::Permissions::from_mode(mode)).unwrap();
    let was = fs::metadata(&kept).unwrap().permissions().mode();
    let leaks = bed.plant(|| mode(0o600), || mode(was));
    assert_told(&leaks, "machine: file `leases/right/10.1.0.2` changed: mode was");

    for name in
        ["0123abcd", "locks/0123abcd", "spool/1", "devinfo/k8s.cni.cncf.io-default-right-net1-device.json"]
    {
        let path = bed.state().join(name);
        let top = bed.state().join(name.split('/').next().unwrap());
        let plant = || {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "{}").unwrap();
        };
        let remove =
            || if top.is_dir() { fs::remove_dir_all(&top).unwrap() } else { fs::remove_file(&top).unwrap() };
        assert_told(&bed.plant(plant, remove), &format!("machine: file `state/{name}` appeared"));
    }
}

// Proves: T-1
#[test]
fn a_lock_that_is_still_held_is_told() {
    let bed = Bed::new();
    fs::create_dir_all(bed.state()).unwrap();
    let path = bed.state().join("lock");
    fs::write(&path, "").unwrap();
    let oracle = bed.oracle();
    let before = settled(&oracle);
    let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    assert_told(
        &before.diff(&oracle.snapshot().unwrap()),
        "machine: held lock `state/lock` appeared: holder FLOCK",
    );
    drop(held);
    oracle.assert_as_before(&before);
}

// Proves: T-1
#[test]
fn a_process_that_is_left_in_a_watched_namespace_is_told() {
    let bed = Bed::new();
    let start = |netns: &TestNetns| -> Child { netns.command("sleep").unwrap().arg("300").spawn().unwrap() };
    for (netns, place) in [(bed.host.netns(), "host"), (&bed.pod, "pod 1")] {
        let oracle = bed.oracle();
        let before = settled(&oracle);
        let mut left = start(netns);
        let leaks = before.diff(&oracle.snapshot().unwrap());
        left.kill().unwrap();
        left.wait().unwrap();
        assert_told(&leaks, &format!("{place}: process `sleep ({})` appeared: command sleep 300", left.id()));
        oracle.assert_as_before(&before);
    }
}

// Proves: T-1
#[test]
fn an_object_of_the_api_server_is_told() {
    let bed = Bed::new();
    let namespace = ApiServer::shared().unwrap().namespace("leaks").unwrap();
    namespace.pod("cart", &[]).unwrap();
    let oracle = bed.oracle().objects(|| namespace.objects());
    let before = settled(&oracle);
    namespace.definition("left", "{}").unwrap();
    let patch = serde_json::json!({"metadata": {"annotations": {"left": "behind"}}});
    let path = format!("/api/v1/namespaces/{}/pods/cart", namespace.name());
    ApiServer::shared().unwrap().client().send("PATCH", &path, &patch).unwrap();
    let leaks = before.diff(&oracle.snapshot().unwrap());
    assert_told(&leaks, "API server: object `network-attachment-definitions/left` appeared");
    assert_told(&leaks, "API server: object `pods/cart` changed");
    assert_eq!(leaks.len(), 2, "{leaks:#?}");
}

// Proves: T-1
#[test]
fn a_pod_that_is_gone_is_one_leak_and_its_end_of_the_veth_another() {
    let bed = Bed::new();
    let oracle = bed.oracle();
    let before = settled(&oracle);
    bed.pod.delete();
    let leaks = oracle.leaks_since(&before).unwrap();
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
    let leaks = before.diff(&oracle.snapshot().unwrap());
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
    oracle.assert_as_before(&before);
}

#[test]
fn the_programs_that_the_oracle_needs_are_installed() {
    for program in ["ip", "bridge", "tc", "nft", "sysctl", "ping"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        assert!(found.status.success(), "`{program}` is not installed");
    }
}
