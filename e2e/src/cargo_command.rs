//! The cargo that xtask and tests start, in the environment that a shell would give it.
//!
//! `cargo run` and `cargo test` set `CARGO_PKG_NAME`, `CARGO_MANIFEST_DIR` and others for the program that they run. Build
//! scripts that ask to run again when one of them changes (`ring`'s does) would run again at every change between
//! `cargo build` and `cargo xtask`, and everything above them would be compiled again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

/// What cargo sets for the program that it runs: names, and a beginning of names.
const SET_BY_CARGO_RUN: [&str; 4] =
    ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];
const PREFIX_SET_BY_CARGO_RUN: &str = "CARGO_PKG_";

/// Cargo without the variables that describe the package of the running program.
pub fn cargo_command() -> Command {
    command_without(program(), env::vars_os())
}

/// The cargo that runs this program, else the one that built it.
fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into())
}

fn command_without(program: OsString, environment: impl Iterator<Item = (OsString, OsString)>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in environment.filter(|(name, _)| is_set_by_cargo_run(name)) {
        command.env_remove(name);
    }
    command
}

fn is_set_by_cargo_run(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    SET_BY_CARGO_RUN.contains(&&*name) || name.starts_with(PREFIX_SET_BY_CARGO_RUN)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What a build script that asks for every variable of cargo looks like; `ring`'s asks for eleven of them.
    const BUILD_SCRIPT: &str = r#"fn main() {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
            println!("cargo::rerun-if-env-changed={name}");
        }
    }"#;

    /// A package of its own workspace, whose program builds the package anew when it is run.
    fn write_package(folder: &Path) {
        let manifest = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
        fs::create_dir(folder.join("src")).unwrap();
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("build.rs"), BUILD_SCRIPT).unwrap();
        fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
    }

    /// Builds the package and tells whether its build script was run for it.
    fn builds_anew(mut command: Command, folder: &Path) -> bool {
        command.args(["build", "--offline", "-v"]).current_dir(folder).env_remove("CARGO_TARGET_DIR");
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{text}");
        !text.contains("Fresh sample")
    }

    /// Cargo as xtask starts it, in the environment of a program that `cargo run` started.
    fn command_of_xtask() -> Command {
        let set = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION_PRE", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"]
            .map(|name| (OsString::from(name), OsString::from("of xtask")));
        let mut command = Command::new(program());
        command.envs(set.clone());
        for (name, _) in command_without(program(), env::vars_os().chain(set)).get_envs() {
            command.env_remove(name);
        }
        command
    }

    #[test]
    fn a_build_by_xtask_is_fresh_after_one_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        write_package(folder.path());
        assert!(builds_anew(cargo_command(), folder.path()));
        assert!(!builds_anew(command_of_xtask(), folder.path()));
        assert!(!builds_anew(cargo_command(), folder.path()));
    }

    #[test]
    fn the_users_own_settings_of_cargo_are_kept() {
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE"] {
            assert!(!is_set_by_cargo_run(OsStr::new(name)), "{name}");
        }
    }
}
