//! One pod on one side: made ready, ADD, DEL, both measured from outside the process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use manifold_e2e::netns::{HostNs, TestNetns};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Map, Value, json};

use super::cases::Case;

/// What one call took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// Where one side's plugin runs.
pub(super) struct Side<'a> {
    host: &'a HostNs,
    folder: PathBuf,
    leases: PathBuf,
}

impl<'a> Side<'a> {
    /// The host as the row wants it.
    pub(super) fn prepare(case: &Case, host: &'a HostNs, folder: &Path) -> anyhow::Result<Self> {
        if !case.host.is_empty() {
            host.exec(&["sh", "-ec", case.host])?;
        }
        Ok(Self { host, folder: folder.to_owned(), leases: host.folder().join("leases") })
    }

    /// ADD and DEL for one pod.
    pub(super) fn round(&self, case: &Case, pod: &TestNetns, round: usize) -> anyhow::Result<[Spent; 2]> {
        let name = pod.name();
        if !case.pod.is_empty() {
            self.host.exec(&["sh", "-ec", &case.pod.replace("POD", name)])?;
        }
        let mut conf = case.configuration(&self.leases);
        if case.is_chained() {
            conf.insert("prevResult".into(), previous(self.host, pod)?);
        }
        let id = format!("pod-{round}");
        let (result, add) = self.call(case, "ADD", &id, pod, &conf)?;
        let result: Value = serde_json::from_slice(&result).context("ADD printed no result")?;
        conf.insert("prevResult".into(), result);
        let (_, del) = self.call(case, "DEL", &id, pod, &conf)?;
        if !case.afterwards.is_empty() {
            self.host.exec(&["sh", "-ec", case.afterwards])?;
        }
        Ok([add, del])
    }

    fn call(
        &self,
        case: &Case,
        verb: &str,
        id: &str,
        pod: &TestNetns,
        conf: &Map<String, Value>,
    ) -> anyhow::Result<(Vec<u8>, Spent)> {
        let mut command = Command::new(self.folder.join(case.kind));
        command.env_clear().envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", id),
            ("CNI_IFNAME", case.ifname()),
        ]);
        command.env("CNI_NETNS", pod.path()).env("CNI_PATH", &self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let stdin = Value::from(conf.clone()).to_string();
        self.host.netns().run(|| measured(command, &stdin, verb))?
    }
}

/// The children that this process has reaped are these alone, so what they used in between is what this one used.
fn measured(mut command: Command, stdin: &str, verb: &str) -> anyhow::Result<(Vec<u8>, Spent)> {
    let before = used()?;
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let fed = child.stdin.take().expect("stdin was asked to be a pipe").write_all(stdin.as_bytes());
    let out = child.wait_with_output().context("cannot wait for the plugin")?;
    let wall = begin.elapsed();
    fed.context("the plugin did not read its configuration")?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        bail!("{verb} ended with {}: {}", out.status, String::from_utf8_lossy(&said).trim());
    }
    Ok((out.stdout, Spent { wall, cpu: used()?.saturating_sub(before) }))
}

fn used() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot ask for the children's time")?;
    let micros = |time: nix::sys::time::TimeVal| {
        let (seconds, micros) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

/// What an interface plugin would have said of the veth that the row made: its two ends and the address.
fn previous(host: &HostNs, pod: &TestNetns) -> anyhow::Result<Value> {
    let mac = |text: String| {
        let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).map(str::to_owned).context("`ip` told no MAC address")
    };
    let outer = mac(host.exec(&["ip", "-o", "link", "show", "host0"])?)?;
    let inner = mac(pod.exec(&["ip", "-o", "link", "show", "eth0"])?)?;
    Ok(json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "host0", "mac": outer}, {"name": "eth0", "mac": inner, "sandbox": pod.path()}],
        "ips": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1", "interface": 1}],
    }))
}
