//! Every broken definition is refused, with the place and the remedy. The snapshot is read by eye.

use super::*;

/// What the author of a file is told, one line for each finding.
fn told(text: &str) -> Vec<String> {
    let of_report = |report: Report| -> Vec<String> {
        let line = |f: &check_config::Finding| format!("{}: {f}", format!("{:?}", f.severity).to_lowercase());
        report.findings.iter().map(line).collect()
    };
    definitions(text)
        .into_iter()
        .flat_map(|nad| {
            nad.map_or_else(|why| vec![format!("no definition: {why}")], |nad| of_report(examine(&nad)))
        })
        .collect()
}

// Proves: P-USE-2
#[test]
fn each_is_refused_with_a_sentence_that_names_place_and_remedy() {
    let mut all = String::new();
    for (name, text) in files("broken") {
        all.push_str(&format!("{name}\n"));
        for line in told(&text) {
            all.push_str(&format!("    {line}\n"));
        }
    }
    insta::assert_snapshot!("broken", all);
}

// Proves: P-USE-2
#[test]
fn none_passes_and_none_is_without_place_or_remedy() {
    let files = files("broken");
    assert!(files.len() >= 60, "{} files", files.len());
    for (name, text) in files {
        for nad in definitions(&text) {
            // What is no definition at all is refused by the schema, and by `lint` in these words.
            let Ok(nad) = nad.inspect_err(|why| assert!(why.contains("write `config: |`"), "{name}: {why}"))
            else {
                continue;
            };
            let report = examine(&nad);
            let errors: Vec<_> = report.errors().collect();
            assert!(!errors.is_empty(), "{name} passes");
            for error in errors {
                let placed = error.line.is_some() && error.column.is_some();
                assert!(placed || error.field.starts_with("metadata."), "{name}: {error:?}");
                assert!(!error.fix.is_empty(), "{name}: {error:?}");
                let lines = nad.config.as_deref().unwrap_or_default().lines().count().max(1);
                assert!(error.line.is_none_or(|line| line <= lines), "{name}: {error:?}");
            }
        }
    }
}
