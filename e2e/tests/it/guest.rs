//! The guest kernel, from outside.

use std::ffi::OsString;
use std::time::Duration;

use manifold_e2e::guest;

fn path() -> (OsString, OsString) {
    ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())
}

#[test]
fn a_command_finds_its_folder_and_environment_and_its_output_and_code_come_back() {
    let kit = guest::ensure(&mut |_| {}).unwrap();
    let script =
        "uname -r; id -u; pwd; echo \"$ODD\"; cat Cargo.toml; rm Cargo.toml; ls /sys/class/net >&2; exit 7";
    let env = [path(), ("ODD".into(), "it's \"$odd\"".into())];
    let out = guest::run(&["sh", "-c", script], env, Duration::from_secs(600)).unwrap();
    let here = std::env::current_dir().unwrap();
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let expected = format!("{}\n0\n{}\nit's \"$odd\"\n{manifest}", kit.release(), here.display());
    assert_eq!(String::from_utf8(out.stdout).unwrap(), expected);
    assert_eq!(String::from_utf8(out.stderr).unwrap(), "lo\n");
    assert_eq!(out.status.code(), Some(7));
}

#[test]
fn a_guest_is_ended_at_its_deadline_and_its_last_words_are_told() {
    let command = ["sh", "-c", "echo here I hang; sleep 1000"];
    let error = guest::run(&command, [path()], Duration::from_secs(10)).unwrap_err().to_string();
    assert!(error.contains("not finished within 10 s") && error.contains("here I hang"), "{error}");
}
