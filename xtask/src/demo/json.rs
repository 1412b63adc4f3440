//! JSON for people: what fits into a line is one, everything else is broken up.

use serde_json::Value;

const WIDTH: usize = 96;

/// Keys of a network-status in the order of the standard; all others follow.
const FIRST: [&str; 6] = ["name", "interface", "ips", "mac", "mtu", "default"];

pub(super) fn readable(value: &Value) -> String {
    render(value, 0)
}

fn render(value: &Value, indent: usize) -> String {
    let short = on_one_line(value);
    let parts: Vec<String> = match value {
        _ if indent + short.chars().count() <= WIDTH => return short,
        Value::Array(items) => items.iter().map(|item| render(item, indent + 2)).collect(),
        Value::Object(_) => pairs(value).map(|(k, v)| format!("{k:?}: {}", render(v, indent + 2))).collect(),
        _ => return short,
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    let pad = " ".repeat(indent);
    format!("{open}\n{pad}  {}\n{pad}{close}", parts.join(&format!(",\n{pad}  ")))
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => {
            let pairs: Vec<String> =
                pairs(value).map(|(k, v)| format!("{k:?}: {}", on_one_line(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn pairs(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut pairs: Vec<_> = object.as_object().into_iter().flatten().collect();
    pairs.sort_by_key(|(key, _)| rank(key));
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_stays_on_one_line_in_the_order_of_the_standard() {
        let short = json!([{"mtu": 1500, "dns": {}, "name": "a"}]);
        assert_eq!(readable(&short), r#"[{"name": "a", "mtu": 1500, "dns": {}}]"#);
    }

    #[test]
    fn what_is_long_is_broken_up_and_means_the_same() {
        let long = json!([{"name": "a".repeat(60), "ips": ["10.0.0.1"], "interface": "b".repeat(60)}]);
        let text = readable(&long);
        assert!(text.lines().count() > 4 && text.contains("\n    \"ips\": [\"10.0.0.1\"]\n"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), long);
    }
}
