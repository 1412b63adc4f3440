//! Traffic control: queueing disciplines, classes and filters.

use serde_json::Value;

use super::Tool;
use super::fact::{Facts, Fields, Kind, flatten};

pub(super) fn look(place: &str, tool: &Tool<'_>, links: &[String], facts: &mut Facts) -> anyhow::Result<()> {
    let [qdiscs] = tool.lists(&["tc"], ["qdisc show"])?;
    for qdisc in &qdiscs {
        let name = format!("{} {} on {}", text(qdisc, "kind"), text(qdisc, "handle"), text(qdisc, "dev"));
        facts.add(place, Kind::Qdisc, name, flatten(qdisc));
    }
    for link in links {
        for qdisc in qdiscs.iter().filter(|qdisc| text(qdisc, "dev") == link) {
            below(place, tool, link, qdisc, facts)?;
        }
    }
    Ok(())
}

/// Classes and filters hang on a qdisc that somebody set, filters on classes too. The kernel's own have none.
fn below(place: &str, tool: &Tool<'_>, link: &str, qdisc: &Value, facts: &mut Facts) -> anyhow::Result<()> {
    let parents = match text(qdisc, "kind") {
        "noqueue" | "noop" | "mq" | "pfifo_fast" => return Ok(()),
        "ingress" => vec!["ingress".to_string()],
        "clsact" => vec!["ingress".to_string(), "egress".to_string()],
        _ => {
            let mut parents = classes(place, tool, link, facts)?;
            parents.push(format!("parent {}", text(qdisc, "handle")));
            parents
        }
    };
    for parent in parents {
        let [filters] = tool.lists(&["tc"], [&format!("filter show dev {link} {parent}")])?;
        for filter in filters {
            let preference = filter.get("pref").map(Value::to_string).unwrap_or_default();
            let name = format!("{} {preference} at {parent} of {link}", text(&filter, "kind"));
            facts.add(place, Kind::Filter, name, flatten(&filter));
        }
    }
    Ok(())
}

/// As text, for not every version of tc prints classes as JSON. Returns them as parents of filters.
fn classes(place: &str, tool: &Tool<'_>, link: &str, facts: &mut Facts) -> anyhow::Result<Vec<String>> {
    let mut parents = Vec::new();
    // class htb 1:7 root prio 0 rate 1Mbit ...
    for line in tool.text(&["tc", "class", "show", "dev", link])?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, id, ..] = words.as_slice() else { continue };
        let fields = Fields::from([("parameters".to_string(), line.trim().to_string())]);
        facts.add(place, Kind::Class, format!("{kind} {id} on {link}"), fields);
        parents.push(format!("parent {id}"));
    }
    Ok(parents)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
