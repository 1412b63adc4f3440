//! The reference of metrics, `docs/metrics.md`: from what the controller and the node agent register, with every possible series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context as _;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::{cluster, node};

const HEAD: &str = "# Metrics

`manifold-controller metrics` generates this page from the code. The controller and the node agent serve `/metrics` at their
`statusAddress` in the OpenMetrics text format. The chart has a PodMonitor for the Prometheus operator (`podMonitor.enabled`). A label
has only the values listed beside it. A counter appears with its first count.
";

/// Everything that follows a `# HELP` until the next one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    name: String,
    help: String,
    kind: String,
    /// In the order in which they are written, each with its values.
    labels: Vec<(String, Vec<String>)>,
}

pub fn print() -> anyhow::Result<()> {
    std::io::stdout().write_all(page().as_bytes()).context("the page cannot be written")
}

/// As Markdown.
pub fn page() -> String {
    let (cluster, counts) = cluster::Counts::new();
    counts.every();
    let (node, counts) = node::Counts::new();
    counts.every();
    let mut page = HEAD.to_owned();
    for (title, about, registry) in [
        ("The node agent", "[node.md](node.md)", node),
        ("The controller", "[controller.md](controller.md)", cluster),
    ] {
        let _ = write!(
            page,
            "\n## {title}\nConfiguration and behavior: {about}.\n\n{}",
            table(&described(&registry))
        );
    }
    page
}

fn table(all: &[Described]) -> String {
    let mut table =
        "| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for metric in all {
        let labels = metric.labels.iter().map(|(label, values)| {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let Described { kind, help, .. } = metric;
        let (name, unit) = (metric.sampled(), metric.unit());
        let _ = writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    table
}

impl Described {
    /// As queries call it.
    fn sampled(&self) -> String {
        if self.kind == "counter" { format!("{}_total", self.name) } else { self.name.clone() }
    }

    fn unit(&self) -> &'static str {
        if self.name.ends_with("_seconds") { "seconds" } else { "" }
    }
}

/// In the order of their names.
fn described(registry: &Registry) -> Vec<Described> {
    let mut text = String::new();
    encode(&mut text, registry).expect("a string takes everything");
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let help = help.trim_end_matches('.').to_owned();
            name.clone_into(&mut last);
            all.insert(last.clone(), Described { name: last.clone(), help, ..Described::default() });
        } else if let Some(metric) = all.get_mut(&last) {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => {
                    rest.split(' ').next_back().unwrap_or_default().clone_into(&mut metric.kind);
                }
                None => metric.sample(line),
            }
        }
    }
    all.into_values().collect()
}

impl Described {
    /// No value of ours has a quote or a comma.
    fn sample(&mut self, line: &str) {
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        for (label, value) in labels.unwrap_or_default().0.split(',').filter_map(|pair| pair.split_once('='))
        {
            // A bucket of a histogram is no label of ours.
            if label == "le" {
                continue;
            }
            let value = value.trim_matches('"').to_owned();
            match self.labels.iter_mut().find(|(known, _)| known == label) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => self.labels.push((label.to_owned(), vec![value])),
            }
        }
        self.labels.iter_mut().for_each(|(_, values)| values.sort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: P-USE-6
    #[test]
    fn the_page_in_the_documentation_is_what_the_code_registers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let fix = "regenerate it with `cargo run -p manifold-controller -- metrics > docs/metrics.md`";
        assert!(written == page(), "`docs/metrics.md` differs from the code; {fix}");
    }

    /// A family without a series is not encoded at all, so it would be missing without a trace.
    #[test]
    fn every_metric_that_the_sources_name_is_in_the_page() {
        let sources = [
            include_str!("addresses/metrics.rs"),
            include_str!("admission/metrics.rs"),
            include_str!("cluster/metrics.rs"),
            include_str!("events/mod.rs"),
            include_str!("node/addresses/metrics.rs"),
            include_str!("node/metrics.rs"),
            include_str!("usage/metrics.rs"),
        ];
        let page = page();
        let words = sources.iter().flat_map(|source| source.split('"'));
        let names: Vec<&str> = words
            .filter(|word| {
                word.starts_with("manifold_") && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            })
            .collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("| `{name}")), "`{name}` begins no series in `every`");
        }
    }

    #[test]
    fn labels_are_told_with_all_their_values() {
        let (registry, counts) = node::Counts::new();
        counts.every();
        let all = described(&registry);
        let calls = all.iter().find(|metric| metric.name == "manifold_node_calls").unwrap();
        let labels: Vec<(&str, usize)> =
            calls.labels.iter().map(|(label, values)| (label.as_str(), values.len())).collect();
        assert_eq!((calls.kind.as_str(), labels), ("counter", vec![("verb", 2), ("outcome", 4)]));
        let seconds = all.iter().find(|metric| metric.name == "manifold_node_call_seconds").unwrap();
        assert_eq!(
            (seconds.kind.as_str(), seconds.unit(), seconds.labels.len()),
            ("histogram", "seconds", 1)
        );
    }
}
