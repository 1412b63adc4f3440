//! Asking plugins of every age for their versions.

use std::time::{Duration, Instant};

use manifold_cni::{CniError, probe};

use crate::bench::Bench;

fn ask(bench: &Bench, body: &str) -> Result<Vec<String>, CniError> {
    bench.script("p", body);
    probe::supported(
        &bench.executed("p"),
        &[bench.path().to_owned()],
        Instant::now() + Duration::from_secs(20),
    )
}

// Proves: CNI-VER-4
#[test]
fn a_plugin_names_its_versions_and_old_ones_give_them_away() {
    let bench = Bench::new();
    let modern = ask(
        &bench,
        r#"cat >$D/stdin; env >$D/env; echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0","7.0.0"]}'"#,
    );
    assert_eq!(modern, Ok(vec!["1.0.0".to_owned(), "7.0.0".to_owned()]));
    assert_eq!(bench.read("stdin"), r#"{"cniVersion":"1.1.0"}"#);
    let env = bench.read("env");
    for key in ["CNI_COMMAND=VERSION", "CNI_NETNS=dummy", "CNI_IFNAME=dummy", "CNI_PATH="] {
        assert!(env.lines().any(|l| l.starts_with(key)), "{env}");
    }
    let oldest = ask(&bench, r#"echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1"#);
    assert_eq!(oldest, Ok(vec!["0.1.0".to_owned()]));
    let old = ask(&bench, r#"echo '{"cniVersion":"0.2.0"}'"#);
    assert_eq!(old, Ok(vec!["0.1.0".to_owned(), "0.2.0".to_owned()]));
}

// Proves: CNI-VER-4
#[test]
fn an_answer_without_versions_is_an_error() {
    let bench = Bench::new();
    for body in
        [r#"echo '{"cniVersion":"1.0.0"}'"#, "echo '[]'", "true", r#"echo '{"code":11,"msg":"x"}'; exit 1"#]
    {
        assert!(ask(&bench, body).is_err(), "{body}");
    }
}
