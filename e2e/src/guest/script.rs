//! The two texts that go into the guest: where things are, and what is to be run. Both are read by a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::kit::Kit;

/// What `init` sources.
pub(super) fn settings(kit: &Kit, job: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in [
        ("job", job.as_os_str()),
        ("modules", kit.modules().as_os_str()),
        ("kmod", kit.kmod().as_os_str()),
        ("libraries", OsStr::new(&kit.libraries())),
    ] {
        text.extend([name.as_bytes(), b"=", &quoted(value), b"\n"].concat());
    }
    text
}

/// Runs the command in the folder, with this environment and no other.
pub(super) fn command(
    folder: &Path,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    command: &[&OsStr],
) -> Vec<u8> {
    let mut text = [b"cd ".as_slice(), &quoted(folder.as_os_str()), b" && exec env -i"].concat();
    for (mut pair, value) in env {
        pair.push("=");
        pair.push(value);
        text.push(b' ');
        text.extend(quoted(&pair));
    }
    for word in command {
        text.push(b' ');
        text.extend(quoted(word));
    }
    text.push(b'\n');
    text
}

/// One word for any shell.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => text.extend(br"'\''"),
            other => text.push(*other),
        }
    }
    text.push(b'\'');
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn words_and_variables_arrive_as_they_were() {
        let nasty = "it's `a` \"$HOME\"\n\\ *";
        let env = [("PATH".into(), "/usr/bin:/bin".into()), ("NASTY".into(), nasty.into())];
        let words = ["sh", "-c", "printf '%s|' \"$PWD\" \"$NASTY\" \"$@\"", "sh", nasty, ""].map(OsStr::new);
        let script = command(Path::new("/usr"), env, &words);
        let out = Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("/usr|{nasty}|{nasty}||"));
    }
}
