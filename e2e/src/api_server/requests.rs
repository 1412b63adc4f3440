//! How many requests the API server was asked, by verb and resource: what an ADD costs the cluster.

use std::collections::BTreeMap;

use anyhow::bail;

use super::ApiServer;

/// What an attachment may touch; leases, and the server's calls to itself, are of no interest.
const RESOURCES: [&str; 3] = ["pods", "network-attachment-definitions", "events"];

/// Requests since the server's start. Subtract two of them to know what happened in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// By verb (`GET`, `LIST`, `PATCH`, ...) and resource (`pods`, `pods/status`, ...).
    pub by_verb: BTreeMap<(String, String), u64>,
}

impl RequestCounts {
    pub fn since(&self, earlier: &Self) -> Self {
        let fresh = self.by_verb.iter().map(|(key, count)| {
            let before = earlier.by_verb.get(key).copied().unwrap_or_default();
            (key.clone(), count.saturating_sub(before))
        });
        Self { by_verb: fresh.filter(|(_, count)| *count > 0).collect() }
    }

    pub fn of(&self, verb: &str, resource: &str) -> u64 {
        self.by_verb.get(&(verb.to_string(), resource.to_string())).copied().unwrap_or_default()
    }

    pub fn total(&self) -> u64 {
        self.by_verb.values().sum()
    }
}

impl ApiServer {
    /// Reads the server's own counters. Reading them is not counted.
    pub fn request_counts(&self) -> anyhow::Result<RequestCounts> {
        let answer = self.client.get("/metrics")?;
        if !answer.ok() {
            bail!("GET /metrics was refused with {}", answer.status);
        }
        Ok(count(&answer.text()))
    }
}

fn count(metrics: &str) -> RequestCounts {
    let mut counts = RequestCounts::default();
    for line in metrics.lines() {
        let Some((labels, value)) =
            line.strip_prefix("apiserver_request_total{").and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let (resource, below) = (label(labels, "resource"), label(labels, "subresource"));
        if !RESOURCES.contains(&resource) {
            continue;
        }
        let resource = if below.is_empty() { resource.to_string() } else { format!("{resource}/{below}") };
        // The exposition format writes large counters as floating point.
        let value = value.trim().parse::<f64>().unwrap_or_default() as u64;
        *counts.by_verb.entry((label(labels, "verb").to_string(), resource)).or_default() += value;
    }
    counts
}

/// None of these values ever holds a quote or a comma.
fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let found = labels.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_verb_and_resource_are_added_up() {
        let metrics = "# TYPE apiserver_request_total counter\n\
            apiserver_request_total{code=\"200\",group=\"\",resource=\"pods\",subresource=\"status\",verb=\"PATCH\"} 2\n\
            apiserver_request_total{code=\"422\",group=\"\",resource=\"pods\",subresource=\"status\",verb=\"PATCH\"} 1\n\
            apiserver_request_total{code=\"200\",group=\"\",resource=\"leases\",subresource=\"\",verb=\"GET\"} 9\n";
        let counts = count(metrics);
        assert_eq!(counts.of("PATCH", "pods/status"), 3);
        assert_eq!(counts.total(), 3);
        assert_eq!(counts.since(&counts).total(), 0);
    }
}
