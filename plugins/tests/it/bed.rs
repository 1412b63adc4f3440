//! A host and its pods: fresh namespaces, lease folders and links, all of which end with the test.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use manifold_cni::{Attachment, AttachmentId, CniArgs, CniError, CniResult, Detachment, Input, Plugin};
use manifold_net::Netns;
use manifold_plugins::bundled;
use serde_json::{Value, json};

pub(crate) struct Bed {
    pub(crate) host: Netns,
    pub(crate) leases: tempfile::TempDir,
}

pub(crate) struct Pod {
    pub(crate) netns: Netns,
    pub(crate) id: String,
}

/// For a call, and for what the kernel does a moment later: far more than either takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

impl Bed {
    pub(crate) fn new() -> Self {
        let bed = Self {
            host: Netns::create().expect("these tests need root, to make network namespaces"),
            leases: tempfile::tempdir().unwrap(),
        };
        bed.sh("ip link set lo up");
        bed
    }

    /// With this machine itself as the host. Only for tests that run in a guest: hardware is the machine's.
    pub(crate) fn of_this_machine() -> Self {
        Self { host: Netns::current().unwrap(), leases: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn pod(&self, id: &str) -> Pod {
        let pod = Pod { netns: Netns::create().unwrap(), id: id.into() };
        pod.sh("ip link set lo up");
        pod
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        sh(&self.host, script)
    }

    /// host-local over a subnet, with its leases in this bed.
    pub(crate) fn host_local(&self, subnet: &str) -> Value {
        json!({"type": "host-local", "dataDir": self.leases.path(), "ranges": [[{"subnet": subnet}]]})
    }

    pub(crate) fn lease_files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.leases.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => names.push(entry.file_name().into_string().unwrap()),
                }
            }
        }
        names.retain(|name| name.parse::<std::net::IpAddr>().is_ok() || name.contains(':'));
        names.sort();
        names
    }

    pub(crate) fn add(&self, conf: &Value, pod: &Pod) -> Result<CniResult, CniError> {
        self.add_as(conf, pod, "eth0", "")
    }

    pub(crate) fn add_as(
        &self,
        conf: &Value,
        pod: &Pod,
        ifname: &str,
        args: &str,
    ) -> Result<CniResult, CniError> {
        self.add_with(of(conf), conf, pod, ifname, args)
    }

    pub(crate) fn add_with(
        &self,
        plugin: &dyn Plugin,
        conf: &Value,
        pod: &Pod,
        ifname: &str,
        args: &str,
    ) -> Result<CniResult, CniError> {
        let at = pod.at(ifname, args);
        self.host.run(|| plugin.add(&input(conf), &at)).unwrap()
    }

    /// With the result of ADD, as the runtime hands it over.
    pub(crate) fn check(&self, conf: &Value, pod: &Pod, result: &CniResult) -> Result<(), CniError> {
        self.check_as(conf, pod, "eth0", result)
    }

    pub(crate) fn check_as(
        &self,
        conf: &Value,
        pod: &Pod,
        ifname: &str,
        result: &CniResult,
    ) -> Result<(), CniError> {
        let conf = with_result(conf, result);
        self.host.run(|| of(&conf).check(&input(&conf), &pod.at(ifname, ""))).unwrap()
    }

    pub(crate) fn del(&self, conf: &Value, pod: &Pod) -> Result<(), CniError> {
        self.del_at(conf, &pod.at("eth0", "").detach())
    }

    pub(crate) fn del_at(&self, conf: &Value, at: &Detachment) -> Result<(), CniError> {
        self.host.run(|| of(conf).del(&input(conf), at)).unwrap()
    }

    pub(crate) fn gc(&self, conf: &Value, keep: &[&Pod]) -> Result<(), CniError> {
        let keep: Vec<_> = keep
            .iter()
            .map(|pod| AttachmentId { container: pod.id.clone(), ifname: "eth0".into() })
            .collect();
        let conf = with(conf, json!({"cni.dev/valid-attachments": &keep}));
        self.host.run(|| of(&conf).gc(&input(&conf), &keep)).unwrap()
    }

    pub(crate) fn status(&self, conf: &Value) -> Result<(), CniError> {
        self.host.run(|| of(conf).status(&input(conf))).unwrap()
    }

    /// Waits for what the kernel does a moment later, such as ending a namespace; then the state must be this.
    #[track_caller]
    pub(crate) fn becomes(&self, what: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.state() != expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        same(what, expected, &self.state());
    }

    /// All that an attachment may leave in the host.
    pub(crate) fn state(&self) -> String {
        format!("{}leases: {:?}\n", kernel_state(&self.host), self.lease_files())
    }
}

impl Pod {
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_fd().as_raw_fd()).into()
    }

    pub(crate) fn at(&self, ifname: &str, args: &str) -> Attachment {
        Attachment {
            container: self.id.parse().unwrap(),
            netns: self.path(),
            ifname: ifname.parse().unwrap(),
            args: CniArgs::parse(args),
        }
    }

    /// As DEL sees a pod whose namespace is gone: no path, or one that leads nowhere.
    pub(crate) fn without_netns(&self, path: Option<&str>) -> Detachment {
        Detachment { netns: path.map(PathBuf::from), ..self.at("eth0", "").detach() }
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        sh(&self.netns, script)
    }

    /// For what must get through: again and again, as a busy machine may answer late.
    pub(crate) fn pings(&self, address: &str) -> bool {
        self.pings_by(address, "")
    }

    /// The same with further options of `ping`.
    pub(crate) fn pings_by(&self, address: &str, options: &str) -> bool {
        let once = format!("ping -n -c 1 -W $try {options} {address}");
        runs(&self.netns, &format!("for try in 1 2 3 4 5 6 7 8; do {once} && exit; sleep 0.2; done; exit 1"))
    }

    /// For what must not get through: one try, as the answer would come within a millisecond.
    pub(crate) fn pings_not(&self, address: &str) -> bool {
        !runs(&self.netns, &format!("ping -n -c 2 -i 0.2 -W 1 {address}"))
    }

    pub(crate) fn state(&self) -> String {
        kernel_state(&self.netns)
    }
}

fn of(conf: &Value) -> &'static dyn Plugin {
    bundled(conf["type"].as_str().unwrap()).unwrap()
}

pub(crate) fn input(conf: &Value) -> Input {
    let bytes = serde_json::to_vec(conf).unwrap();
    Input::from_stdin(&bytes, vec!["/usr/lib/cni".into()], Instant::now() + PATIENCE).unwrap()
}

pub(crate) fn with_result(conf: &Value, result: &CniResult) -> Value {
    let version = conf["cniVersion"].as_str().unwrap().parse().unwrap();
    let mut conf = conf.clone();
    conf["prevResult"] = serde_json::from_slice(&result.to_json(version).unwrap()).unwrap();
    conf
}

/// The configuration with further keys; `null` removes one.
pub(crate) fn with(base: &Value, further: Value) -> Value {
    let mut conf = base.clone();
    for (key, value) in further.as_object().unwrap() {
        conf[key] = value.clone();
    }
    conf
}

pub(crate) fn runs(netns: &Netns, script: &str) -> bool {
    let run = || Command::new("sh").arg("-c").arg(script).output().unwrap();
    netns.run(run).unwrap().status.success()
}

#[track_caller]
pub(crate) fn sh(netns: &Netns, script: &str) -> String {
    let run = || Command::new("sh").arg("-ec").arg(script).output().unwrap();
    let output = netns.run(run).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Links, addresses, routes, rules, VLANs, firewall and the settings our plugins change: without numbers that the
/// kernel counts up, and without what comes a moment after its cause (carrier, link-local addresses).
pub(crate) fn kernel_state(netns: &Netns) -> String {
    let text = sh(
        netns,
        r"ip -o -d link | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ qlen [0-9]+//; s/[a-z_]+_timer +[0-9.]+//g
              s/,(LOWER_UP|NO-CARRIER)//g; s/NO-CARRIER,//; s/ state [A-Z]+//; s/bridge_slave state [a-z]+/bridge_slave/
              s/topology_change(_detected)? [01]//g'
          ip -o addr | sed -E 's/^[0-9]+: //; s/valid_lft.*//; s/ tentative//'
          ip -4 route show table all; ip -6 route show table all | sed '/^multicast/d; /^anycast/d'
          ip rule; ip -6 rule; bridge vlan; nft list ruleset
          for s in ipv4/ip_forward ipv6/conf/all/forwarding ipv6/conf/lo/disable_ipv6; do
              echo $s $(cat /proc/sys/net/$s); done",
    );
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("fe80:"));
    // In the middle of a line where the route is one of IPv6.
    let mut lines: Vec<String> = lines.map(|line| line.replace(" linkdown", "")).collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

/// Fails with the lines that are in one of the two only.
#[track_caller]
pub(crate) fn same(what: &str, before: &str, after: &str) {
    let only = |a: &str, b: &str, sign: &str| -> String {
        let lines = a.lines().filter(|line| !b.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    assert!(before == after, "{what}:\n{}{}", only(before, after, "-"), only(after, before, "+"));
}

thread_local! {
    static STEPS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Makes the step of that number fail, on this thread.
pub(crate) fn fail_at(step: usize) {
    STEPS_LEFT.set(step);
}

/// An `after_step` that [`fail_at`] steers.
pub(crate) fn failing(step: &'static str) -> Result<(), CniError> {
    let left = STEPS_LEFT.get();
    STEPS_LEFT.set(left.wrapping_sub(1));
    if left == 0 { Err(CniError::failed(format!("injected after `{step}`"))) } else { Ok(()) }
}
