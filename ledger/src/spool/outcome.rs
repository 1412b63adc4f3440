//! The line of one outcome.

use serde::{Deserialize, Serialize};

/// What one ADD or DEL did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Seconds since 1970, for people and for the time of an event.
    pub time: u64,
    /// `ADD` or `DEL`.
    pub verb: String,
    pub container: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// `success`, `failed`, `parked`, `superseded`, …
    pub outcome: String,
    /// The CNI error code; 0 is success.
    pub code: u32,
    pub duration_ms: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkOutcome>,
}

/// What became of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkOutcome {
    /// `namespace/nad`, or the name of the CNI configuration.
    pub network: String,
    pub ifname: String,
    /// The type of its first plugin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// 0 is success.
    pub code: u32,
    /// Of its plugins alone.
    pub duration_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A line of the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// So many lines before this one were dropped unread.
    Dropped {
        dropped: u64,
    },
    Outcome(Box<Outcome>),
}

const LINE_BYTES: usize = 64 << 10;
const MESSAGE_BYTES: usize = 2 << 10;
/// Of what the runtime calls the pod: no name of Kubernetes is longer.
const NAME_BYTES: usize = 253;

/// Reads one line. Never panics, whatever stands there.
pub fn parse(line: &[u8]) -> Option<Line> {
    if line.len() > LINE_BYTES {
        return None;
    }
    serde_json::from_slice(line).ok()
}

/// The line with its line feed, cut to size: long messages first, then the networks.
pub fn print(outcome: &Outcome) -> Vec<u8> {
    let mut cut = outcome.clone();
    shorten(&mut cut.message, MESSAGE_BYTES);
    cut.networks.iter_mut().for_each(|n| shorten(&mut n.message, MESSAGE_BYTES));
    let names = [&mut cut.namespace, &mut cut.pod, &mut cut.uid].into_iter().flatten();
    names.chain([&mut cut.container]).for_each(|name| shorten(name, NAME_BYTES));
    let mut line = to_line(&cut);
    if line.len() > LINE_BYTES {
        for network in &mut cut.networks {
            network.message.clear();
            network.ips.clear();
        }
        line = to_line(&cut);
    }
    if line.len() > LINE_BYTES {
        cut.networks.clear();
        line = to_line(&cut);
    }
    line
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

fn to_line(outcome: &Outcome) -> Vec<u8> {
    let mut line = serde_json::to_vec(outcome).expect("strings, numbers and lists always serialise");
    line.push(b'\n');
    line
}
