//! What the driver measured, as it wrote it down. Times are milliseconds, memory is MiB.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bed::Bed;

/// One executable under the whole programme.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Run {
    pub(super) name: String,
    /// Pods one after another.
    pub(super) seq: Vec<Row>,
    /// Many pods at once.
    pub(super) par: Vec<Storm>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) attach: u64,
    pub(super) add: Phase,
    #[serde(rename = "dele")]
    pub(super) del: Phase,
    /// Pods whose status names every network.
    pub(super) verified: u64,
    /// 0 without a daemon.
    #[serde(default)]
    pub(super) daemon_hwm_mib: f64,
}

impl Row {
    /// Peak of the largest process of a call, and of the daemon that answers it.
    pub(super) fn memory(&self) -> f64 {
        self.add.rss + self.daemon_hwm_mib
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Phase {
    pub(super) wall: f64,
    pub(super) p95: f64,
    /// With all descendants, and with the daemon's share.
    pub(super) cpu: f64,
    pub(super) rss: f64,
    pub(super) requests: f64,
    pub(super) fails: u64,
    #[serde(default)]
    pub(super) err: String,
    /// What share of the machine others used meanwhile.
    pub(super) foreign: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Storm {
    pub(super) parallel: u64,
    pub(super) pods: u64,
    #[serde(rename = "ADD")]
    pub(super) add: StormPhase,
    #[serde(rename = "DEL")]
    pub(super) del: StormPhase,
    pub(super) verified: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct StormPhase {
    pub(super) pods_per_s: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) fails: u64,
    #[serde(default)]
    pub(super) err: String,
}

impl Run {
    pub(super) fn read(path: &str) -> anyhow::Result<Self> {
        read(path)
    }

    pub(super) fn row(&self, kind: &str, attach: u64) -> Option<&Row> {
        self.seq.iter().find(|row| row.attach == attach && (row.kind == kind || attach == 0))
    }
}

/// What nobody can do without.
#[derive(Clone, Debug, Default)]
pub(super) struct Floors {
    /// exec of a static program that does nothing.
    pub(super) exec: f64,
    /// By kind and number of links: made, addressed and up.
    pub(super) netlink: BTreeMap<(String, u64), f64>,
    pub(super) api: ApiFloor,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct ApiFloor {
    pub(super) tls: f64,
    pub(super) get_pod: f64,
    pub(super) get_nad: f64,
    pub(super) patch: f64,
}

impl Floors {
    /// Those that need no API server.
    pub(super) fn read(bed: &Bed) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Exec {
            wall: f64,
        }
        #[derive(Deserialize)]
        struct Netlink {
            kind: String,
            attach: u64,
            mode: String,
            add: Option<f64>,
        }
        let exec: Vec<Exec> = read(&bed.file("exec.json"))?;
        let netlink: Vec<Netlink> = read(&bed.file("netlink.json"))?;
        let exec = exec.first().context("the driver measured no exec")?.wall;
        let netlink = netlink.into_iter().filter(|n| n.mode == "one by one");
        let netlink = netlink.filter_map(|n| Some(((n.kind, n.attach), n.add?))).collect();
        Ok(Self { exec, netlink, api: ApiFloor::default() })
    }

    /// Those of the API server can be measured once a run has left credentials.
    pub(super) fn with_api(self, bed: &Bed) -> anyhow::Result<Self> {
        let path = bed.file("api.json");
        bed.driver("floor: TLS, GET, PATCH", &["apifloor", "--json", &path])?;
        Ok(Self { api: read(&path)?, ..self })
    }

    /// An ADD with a bridge as default network and `attach` more: exec, netlink, TLS, GET of the pod, the GETs of all
    /// definitions at the same time, PATCH.
    pub(super) fn of_add(&self, kind: &str, attach: u64) -> Option<f64> {
        let links = |kind: &str, n: u64| match n {
            0 => Some(0.0),
            _ => self.netlink.get(&(kind.to_owned(), n)).copied(),
        };
        let definitions = if attach == 0 { 0.0 } else { self.api.get_nad };
        let api = self.api.tls + self.api.get_pod + definitions + self.api.patch;
        Some(self.exec + links("bridge", 1)? + links(kind, attach)? + api)
    }
}

fn read<T: DeserializeOwned>(path: &str) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("the driver wrote no `{path}`"))?;
    serde_json::from_str(&text).with_context(|| format!("`{path}` is not what the driver writes"))
}
