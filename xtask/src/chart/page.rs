//! `docs/values.md`: every value of the chart with its default, from the schema and the values.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

const HEAD: &str = "\
# The chart's values

`cargo xtask manifests` generates this page from `charts/manifold/values.schema.json` and `values.yaml`. The schema rejects
misspelled values and values of the wrong type. The chart rejects values that contradict each other and says how to fix them. To
install the chart, see [install.md](install.md).
";

/// Objects that Kubernetes defines: one value each.
const OF_KUBERNETES: [&str; 2] = ["resources", "seLinuxOptions"];

pub(super) fn page(chart: &Path) -> anyhow::Result<String> {
    let read = |name: &str| {
        fs::read_to_string(chart.join(name)).with_context(|| format!("cannot read `{name}` of the chart"))
    };
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    let values: Value = serde_yaml::from_str(&read("values.yaml")?)?;
    let mut page = HEAD.to_owned();
    for (name, part) in properties(&schema)? {
        let Some(default) = values.get(name) else { continue };
        let _ = write!(page, "\n## `{name}`\n\n");
        let about = part.get("properties").and(part.get("description"));
        if let Some(about) = about.and_then(Value::as_str) {
            let _ = write!(page, "{about}\n\n");
        }
        page.push_str("| value | default | allowed | meaning |\n| --- | --- | --- | --- |\n");
        match part.get("properties") {
            Some(_) => rows(&mut page, name, part, default)?,
            None => row(&mut page, name, part, default)?,
        }
    }
    Ok(page)
}

fn properties(schema: &Value) -> anyhow::Result<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object).context("a part of the schema has no `properties`")
}

/// A row for each value; what Kubernetes defines is one value.
fn rows(page: &mut String, path: &str, schema: &Value, default: &Value) -> anyhow::Result<()> {
    let Value::Object(defaults) = default else { bail!("`{path}` is not an object in values.yaml") };
    for (name, part) in properties(schema)? {
        let path = format!("{path}.{name}");
        let Some(default) = defaults.get(name) else {
            bail!("`{path}` stands in the schema and has no default in values.yaml");
        };
        if part.get("properties").is_some() && !OF_KUBERNETES.contains(&name.as_str()) {
            rows(page, &path, part, default)?;
        } else {
            row(page, &path, part, default)?;
        }
    }
    Ok(())
}

fn row(page: &mut String, path: &str, part: &Value, default: &Value) -> anyhow::Result<()> {
    let Some(meaning) = part.get("description").and_then(Value::as_str) else {
        bail!("`{path}` has no description in the schema");
    };
    let meaning = meaning.replace('|', "\\|");
    let _ = writeln!(page, "| `{path}` | `{default}` | {} | {meaning} |", allowed(part));
    Ok(())
}

fn allowed(part: &Value) -> String {
    if let Some(choices) = part.get("enum").and_then(Value::as_array) {
        let names = choices.iter().filter_map(Value::as_str);
        let names = names.map(|name| if name.is_empty() { "empty".to_owned() } else { format!("`{name}`") });
        return names.collect::<Vec<_>>().join(", ");
    }
    if let Some(ways) = part.get("anyOf").and_then(Value::as_array) {
        let mut ways: Vec<String> = ways.iter().map(allowed).filter(|way| !way.is_empty()).collect();
        ways.dedup();
        return ways.join(" or ");
    }
    if let Some(one) = part.get("const") {
        return one.to_string();
    }
    if let (Some(least), Some(most)) = (part.get("minimum"), part.get("maximum")) {
        return format!("{least} to {most}");
    }
    match part.get("type") {
        Some(Value::String(kind)) if kind == "array" => match part.get("items") {
            Some(items) => format!("list of {}", allowed(items)),
            None => "list".to_owned(),
        },
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}
