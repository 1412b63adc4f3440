//! What a replica counted, as it writes it for Prometheus.

/// One reading of `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of all series of this name that have all of these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let series = self.0.lines().filter(|line| !line.starts_with('#'));
        series
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (found, its) = series.split_once('{').unwrap_or((series, ""));
                let has_all = wanted.iter().all(|label| its.contains(label.as_str()));
                (found == name && has_all).then(|| value.parse::<f64>().ok())?
            })
            .sum()
    }

    /// Whether there is any series of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let text = "# HELP a_total x\na_total{verdict=\"allowed\",kind=\"pod\"} 2\na_total{verdict=\"refused\"} 3\nb 1.5\n";
        let metrics = Metrics(text.into());
        assert_eq!(metrics.sum("a_total", &[]), 5.0);
        assert_eq!(metrics.sum("a_total", &[("verdict", "allowed")]), 2.0);
        assert_eq!(metrics.sum("b", &[]), 1.5);
        assert!(metrics.has("b") && !metrics.has("a"));
    }
}
