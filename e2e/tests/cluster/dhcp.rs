//! Addresses from a DHCP server, by the daemon that the chart puts on every node.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

use manifold_e2e::child;
use manifold_e2e::cluster::{Cluster, Node};
use manifold_e2e::controller::NAMESPACE;
use manifold_e2e::netns::TestNetns;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::{Space, cluster, is_ready, text};

const SOCKET: &str = "/run/cni/dhcp.sock";
const LEASES: &str = "/var/lib/cni/dhcp";
/// What the manifest adds, by the kernel's numbers: NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_ADMIN.
const CAPABILITIES: u64 = 1 << 10 | 1 << 12 | 1 << 13 | 1 << 21;

/// The daemon of the chart, on every node until the test has passed.
struct Daemon(&'static Cluster);

impl Daemon {
    fn install(cluster: &'static Cluster) -> Self {
        let daemon = Self(cluster);
        cluster.set("dhcp.enabled=true").unwrap();
        daemon.wait_ready();
        daemon
    }

    fn wait_ready(&self) {
        let words = ["rollout", "status", "daemonset/manifold-dhcp", "--namespace", NAMESPACE];
        self.0.kubectl(&[&words[..], &["--timeout=180s"]].concat()).unwrap();
    }

    /// Its pod on a node.
    fn pod(&self, node: &Node) -> anyhow::Result<Option<Value>> {
        let selector = "labelSelector=app.kubernetes.io/name%3Dmanifold-dhcp";
        let pods = self.0.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}"))?;
        Ok(pods.into_iter().find(|pod| text(pod, "/spec/nodeName") == node.name()))
    }

    /// Ends the pod; its successor is another one.
    fn replace(&self, node: &Node) {
        let old = self.pod(node).unwrap().unwrap();
        let name = text(&old, "/metadata/name");
        self.0.kubectl(&["delete", "pod", name, "--namespace", NAMESPACE]).unwrap();
        let next = || {
            Ok(self.pod(node)?.filter(|pod| is_ready(pod) && text(pod, "/metadata/name") != name).map(drop))
        };
        self.0.wait("the next daemon to be ready", next).unwrap();
    }

    /// What the kernel lets its process do on a node.
    fn capabilities(node: &Node) -> u64 {
        let own = fs::metadata(node.machine().netns()).unwrap().ino();
        let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let mut found = all.filter(|process| {
            fs::read(process.join("cmdline")).is_ok_and(|words| words == b"/manifold\0dhcp\0daemon\0")
                && fs::metadata(process.join("ns/net")).is_ok_and(|netns| netns.ino() == own)
        });
        let status = fs::read_to_string(found.next().unwrap().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words =
                ["logs", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/name=manifold-dhcp"];
            let said = self.0.kubectl(&words).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(std::io::stderr(), "the daemons said:\n{said}");
            // The pods that are left cannot be taken down without it.
            return;
        }
        self.0.set("dhcp.enabled=false").unwrap();
    }
}

/// Debian's DHCP server on both wires: it leases of 10.70.0.0/24 on the first, of 10.71.0.0/24 on the second. It is a
/// machine of its own: where the switches are, they too would answer for its addresses.
struct Server {
    process: Child,
    folder: TempDir,
    _netns: TestNetns,
}

impl Server {
    fn start(cluster: &Cluster) -> Self {
        let netns = TestNetns::new().unwrap();
        let switches = cluster.control_plane().machine().netns();
        let own = netns.path().display().to_string();
        for (number, switch) in ["br0", "br1"].iter().enumerate() {
            let script = format!(
                "ip link add dhcp{number} netns {own} type veth peer name plug{number} && \
                 ip link set plug{number} master {switch} up"
            );
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            child::enter_netns(&mut command, &switches).unwrap();
            assert!(command.status().unwrap().success(), "{script}");
            let (link, address) = (format!("dhcp{number}"), format!("10.7{number}.0.1/24"));
            netns.exec(&["ip", "address", "add", &address, "dev", &link]).unwrap();
            netns.exec(&["ip", "link", "set", &link, "up"]).unwrap();
        }
        let folder = TempDir::new().unwrap();
        let mut command = netns.command("/usr/sbin/dnsmasq").unwrap();
        command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--log-dhcp", "--no-ping"]);
        command.args(["--bind-interfaces", "--dhcp-authoritative", "--user=root", "--pid-file="]);
        command.arg(format!("--log-facility={}", folder.path().join("log").display()));
        command.arg(format!("--dhcp-leasefile={}", folder.path().join("leases").display()));
        for number in 0..2 {
            command.arg(format!("--interface=dhcp{number}"));
            command.arg(format!("--dhcp-range=10.7{number}.0.10,10.7{number}.0.99,255.255.255.0,10m"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = child::spawn_for_life(command).unwrap();
        let server = Self { process, folder, _netns: netns };
        let serves = || Ok((server.said("DHCP, IP range") == 2).then_some(()));
        cluster.wait("the DHCP server", serves).unwrap();
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn has_back(&self, address: &str) -> bool {
        let log = self.log();
        let mut released = log.lines().filter(|line| line.contains("DHCPRELEASE("));
        released.any(|line| line.contains(&format!(" {address} ")))
    }

    /// How many lines of its log have this in them.
    fn said(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the DHCP server said:\n{}", self.log());
        }
    }
}

/// A network of the IPAM type `dhcp` that tells the server the pod's name.
fn network(space: &Space, name: &str, kind: &str, link: (&str, &str)) {
    let ipam = json!({"type": "dhcp", "provide": [{"option": "host-name", "fromArg": "K8S_POD_NAME"}]});
    let mut config = json!({"cniVersion": "1.0.0", "name": space.network(name), "type": kind, "ipam": ipam});
    config.as_object_mut().unwrap().insert(link.0.to_owned(), link.1.into());
    space.definition(name, &config);
}

/// The pod's address on its second network: the server gave it out, the status tells it, and the pod has it.
fn leased(space: &Space, server: &Server, pod: &str, range: &str) -> String {
    space.wait_ready(pod);
    let status = space.status(pod);
    let address = text(&status[1], "/ips/0").to_owned();
    assert!(address.starts_with(range), "{status:?}");
    let inside = space.exec(pod, &["ip", "-4", "-o", "address", "show", "dev", "net1"]);
    assert!(inside.contains(&format!(" {address}/24 ")), "{inside}");
    let acknowledged = format!(" {address} {} {pod}", text(&status[1], "/mac"));
    assert!(server.said(&acknowledged) > 0, "no `{acknowledged}` in the log:\n{}", server.log());
    address
}

fn files(node: &Node) -> usize {
    fs::read_dir(node.path(LEASES)).map_or(0, Iterator::count)
}

// Shows part of: PLG-DHCP-3, PLG-DHCP-7, PLG-DHCP-9, PLG-DHCP-10, P-DEL-11, S-14
#[test]
fn pods_have_leases_by_the_daemon_in_its_container_and_give_them_back_after_its_restart() {
    let daemon = Daemon::install(cluster());
    let server = Server::start(cluster());
    let node = cluster().nodes().first().unwrap();
    let space = Space::new("dhcp");
    let socket = cluster().wait("the daemon to listen", || Ok(fs::metadata(node.path(SOCKET)).ok())).unwrap();
    assert_eq!((socket.uid(), socket.permissions().mode() & 0o777), (0, 0o600));
    assert_eq!(Daemon::capabilities(node), CAPABILITIES);

    // The bridge that spans the nodes by their second cards.
    space.bridge("unused", 72);
    network(&space, "wire", "bridge", ("bridge", "wire0"));
    network(&space, "green", "macvlan", ("master", "eth0"));
    space.pod("one", node, "wire");
    space.pod("two", node, "green");
    let addresses = [leased(&space, &server, "one", "10.71.0."), leased(&space, &server, "two", "10.70.0.")];
    space.wait_reached("one", "10.71.0.1");
    // Of these two: what a sandbox had that the runtime gave up is given back at once.
    let given_back = || addresses.iter().filter(|address| server.has_back(address)).count();
    assert_eq!((files(node), given_back()), (2, 0));

    daemon.replace(node);
    assert_eq!((files(node), given_back()), (2, 0), "leases outlive the daemon's pod");
    for (pod, address) in ["one", "two"].into_iter().zip(&addresses) {
        space.delete(pod);
        let back = || Ok(server.has_back(address).then_some(()));
        cluster().wait(&format!("the lease of `{pod}` to be given back"), back).unwrap();
    }
    assert_eq!(files(node), 0);
}
