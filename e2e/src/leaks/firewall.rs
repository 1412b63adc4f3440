//! The firewall: everything that nft lists, and the tables of the old iptables where the namespace has any.

use std::fs;

use serde_json::Value;

use super::Tool;
use super::fact::{Facts, Fields, Kind, flatten};
use crate::netns;

pub(super) fn look(place: &str, tool: &Tool<'_>, facts: &mut Facts) -> anyhow::Result<()> {
    let listed: Value = serde_json::from_str(&tool.text(&["nft", "-j", "list", "ruleset"])?)?;
    for item in listed.get("nftables").and_then(Value::as_array).into_iter().flatten() {
        for (kind, object) in item.as_object().into_iter().flatten().filter(|(kind, _)| *kind != "metainfo") {
            facts.add(place, Kind::Firewall, name(kind, object), flatten(object));
        }
    }
    Ok(())
}

/// A node that saves its ruleset must be able to load it again: names that pods choose may not stand in the way.
pub(super) fn load_back(place: &str, tool: &Tool<'_>, facts: &mut Facts) -> anyhow::Result<()> {
    let saved = tool.text(&["nft", "list", "ruleset"])?;
    if let Err(refused) = tool.feed(&["nft", "--check", "-f", "-"], &saved) {
        let fields = Fields::from([("loads back".to_string(), format!("no: {refused:#}"))]);
        facts.add(place, Kind::Firewall, "saved ruleset".into(), fields);
    }
    Ok(())
}

/// `rule inet filter input`
fn name(kind: &str, object: &Value) -> String {
    let words =
        ["family", "table", "chain", "name"].iter().filter_map(|key| object.get(key).and_then(Value::as_str));
    [kind].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The tables of the old iptables.
pub(super) fn look_at_legacy(place: &str, tool: &Tool<'_>, facts: &mut Facts) -> anyhow::Result<()> {
    for (tables, save) in
        [("ip_tables_names", "iptables-legacy-save"), ("ip6_tables_names", "ip6tables-legacy-save")]
    {
        // Asking for a table makes it, so nothing is asked where there is none.
        let path = format!("/proc/thread-self/net/{tables}");
        let names = netns::inside(tool.netns, || fs::read_to_string(path).unwrap_or_default())?;
        if names.trim().is_empty() {
            continue;
        }
        lines(place, save, &tool.text(&[save])?, facts);
    }
    Ok(())
}

fn lines(place: &str, save: &str, text: &str, facts: &mut Facts) {
    let mut table = "";
    for line in text.lines().filter(|line| !line.starts_with('#') && *line != "COMMIT") {
        match line.strip_prefix('*') {
            Some(name) => table = name,
            // Chains that exist in every table carry counts: `:INPUT ACCEPT [12:720]`.
            None => {
                let rule = line.split(" [").next().unwrap_or_default().to_string();
                let fields = Fields::from([("line".to_string(), rule)]);
                facts.add(place, Kind::Firewall, format!("{save} {table}"), fields);
            }
        }
    }
}
