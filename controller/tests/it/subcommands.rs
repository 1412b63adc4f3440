//! The names of the subcommands, and the names of earlier releases that still work.

use std::process::Command;

/// Runs a subcommand with a configuration file that does not exist: it ends with exit code 2 and names the file.
#[track_caller]
fn run_without_configuration(subcommand: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manifold-controller"));
    let output = command.args([subcommand, "--config", "/nonexistent/config.yaml"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("/nonexistent/config.yaml"), "{stderr}");
    stderr
}

#[test]
fn the_subcommands_are_controller_and_agent() {
    for subcommand in ["controller", "agent"] {
        let stderr = run_without_configuration(subcommand);
        assert!(!stderr.contains("deprecated"), "{stderr}");
    }
}

#[test]
fn the_subcommands_of_earlier_releases_work_with_a_warning_that_names_the_new_ones() {
    for (old, new) in [("cluster", "controller"), ("node", "agent")] {
        let stderr = run_without_configuration(old);
        let warning =
            format!("the subcommand `{old}` is deprecated and the next release removes it; use `{new}`");
        assert!(stderr.contains(&warning), "{stderr}");
    }
}

#[test]
fn the_help_lists_only_the_new_names() {
    let output = Command::new(env!("CARGO_BIN_EXE_manifold-controller")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
    assert!(names.contains(&"controller") && names.contains(&"agent"), "{help}");
    assert!(!names.contains(&"cluster") && !names.contains(&"node"), "{help}");
}
