//! The executables in the plugin folder: `manifold`, and the names of plugins that it was asked to have.
//!
//! Never written in place: a running shim keeps the file it has, the next one gets the new file whole. A name that holds
//! somebody else's plugin is left to it. Executables are read in pieces: none is ever in memory as a whole.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use manifold_ledger::content::Content;
use manifold_ledger::durable;
use manifold_ledger::installed::{Folder, Installed};

use super::EXECUTABLE;
use super::config::Host;

const MODE: u32 = 0o755;

/// What one look at the folder brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Names that were written: new, restored, or of another release.
    pub written: Vec<String>,
    /// Names that stay somebody else's.
    pub taken: Vec<String>,
}

/// Makes the folder as it should be. On an error what was there before is still whole.
pub fn install(
    host: &Host,
    executable: &Path,
    links: &[String],
    record: &mut Installed,
) -> io::Result<Looked> {
    let folder = host.bin();
    durable::folder(&folder, 0o755)?;
    let mut looked = Looked::default();
    if !is(&folder.join(EXECUTABLE), executable)? {
        note(host, record, EXECUTABLE, executable)?;
        durable::put_file(&folder, EXECUTABLE, executable, MODE)?;
        looked.written.push(EXECUTABLE.to_owned());
    }
    for name in links {
        match link(host, &folder, name, executable, record)? {
            Link::Right => {}
            Link::Made => looked.written.push(name.clone()),
            Link::Taken => looked.taken.push(name.clone()),
        }
    }
    Ok(looked)
}

enum Link {
    Right,
    Made,
    Taken,
}

fn link(
    host: &Host,
    folder: &Path,
    name: &str,
    executable: &Path,
    record: &mut Installed,
) -> io::Result<Link> {
    let path = folder.join(name);
    let same = |a: &fs::Metadata, b: &fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
    let ours = fs::metadata(folder.join(EXECUTABLE))?;
    match fs::symlink_metadata(&path) {
        Ok(there) if same(&there, &ours) => return Ok(Link::Right),
        Ok(_) if record.of(Folder::Bin, name).is_none() => return Ok(Link::Taken),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    note(host, record, name, executable)?;
    durable::link(folder, EXECUTABLE, name)?;
    Ok(Link::Made)
}

fn note(host: &Host, record: &mut Installed, name: &str, executable: &Path) -> io::Result<()> {
    if record.note(&host.state(), &host.root, Folder::Bin, name, Content::File(executable))? {
        record.save(&host.state())?;
    }
    Ok(())
}

/// Whether this file is there, plain, executable for root and byte for byte the same as the source.
fn is(path: &Path, executable: &Path) -> io::Result<bool> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let length = fs::metadata(executable)?.len();
    let fits = meta.is_file() && meta.len() == length && meta.permissions().mode() & 0o777 == MODE;
    Ok(fits && Content::File(executable).is_at(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { root: dir.path().to_owned(), ..Host::default() };
        durable::folder(&host.state(), 0o700).unwrap();
        (dir, host)
    }

    fn source(host: &Host, text: &str) -> std::path::PathBuf {
        let path = host.root.join(text);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn nothing_is_written_when_everything_is_there() {
        let (_dir, host) = host();
        let mut record = Installed { bin_dir: host.bin_dir.clone(), ..Installed::default() };
        let links = ["bridge".to_owned()];
        let [one, two] = ["one", "two"].map(|text| source(&host, text));
        let first = install(&host, &one, &links, &mut record).unwrap();
        assert_eq!(first.written, ["manifold", "bridge"]);
        assert_eq!(install(&host, &one, &links, &mut record).unwrap(), Looked::default());
        let upgraded = install(&host, &two, &links, &mut record).unwrap();
        assert_eq!(upgraded.written, ["manifold", "bridge"]);
        assert_eq!(fs::read(host.bin().join("bridge")).unwrap(), b"two");
    }

    #[test]
    fn a_plugin_of_somebody_else_keeps_its_name() {
        let (_dir, host) = host();
        let mut record = Installed { bin_dir: host.bin_dir.clone(), ..Installed::default() };
        durable::folder(&host.bin(), 0o755).unwrap();
        fs::write(host.bin().join("bridge"), "the reference's").unwrap();
        let links = ["bridge".to_owned(), "ptp".to_owned()];
        let looked = install(&host, &source(&host, "one"), &links, &mut record).unwrap();
        assert_eq!(
            looked,
            Looked { written: vec!["manifold".into(), "ptp".into()], taken: vec!["bridge".into()] }
        );
        assert_eq!(fs::read(host.bin().join("bridge")).unwrap(), b"the reference's");
    }

    // Proves: P-UP-1
    #[test]
    fn an_executable_that_runs_is_replaced_and_runs_on() {
        let (_dir, host) = host();
        let mut record = Installed { bin_dir: host.bin_dir.clone(), ..Installed::default() };
        install(&host, Path::new("/bin/sleep"), &[], &mut record).unwrap();
        let path = host.bin().join(EXECUTABLE);
        let run = || std::process::Command::new(&path).arg("60").spawn().unwrap();
        let mut running: Vec<_> = (0..100).map(|_| run()).collect();
        install(&host, Path::new("/bin/true"), &[], &mut record).unwrap();
        assert!(running.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        assert!(run().wait().unwrap().success());
        for child in &mut running {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// By the kernel's count of this process, so in one of its own: threads of other tests have memory too.
    #[test]
    fn a_large_executable_is_compared_installed_replaced_and_given_back_with_little_memory() {
        const ALONE: &str = "MANIFOLD_TEST_ALONE";
        const LARGE: u64 = 192 << 20;
        if std::env::var_os(ALONE).is_none() {
            let name = std::thread::current().name().unwrap().to_owned();
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let out = command.args(["--exact", &name]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(out.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let (_dir, host) = host();
        let (old, new) = (source(&host, "old"), source(&host, "new"));
        for path in [&old, &new] {
            fs::File::options().write(true).open(path).unwrap().set_len(LARGE).unwrap();
        }
        durable::folder(&host.bin(), 0o755).unwrap();
        durable::put_file(&host.bin(), EXECUTABLE, &old, 0o700).unwrap();
        let mut record = Installed { bin_dir: host.bin_dir.clone(), ..Installed::default() };
        assert_eq!(install(&host, &new, &[], &mut record).unwrap().written, [EXECUTABLE]);
        assert_eq!(install(&host, &new, &[], &mut record).unwrap(), Looked::default());
        assert!(is(&host.bin().join(EXECUTABLE), &new).unwrap());
        let back = record.give_back(&host.state(), &host.root).unwrap();
        assert_eq!(back.restored, [host.bin().join(EXECUTABLE)]);
        assert!(Content::File(&old).is_at(&host.bin().join(EXECUTABLE)).unwrap());
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(peak << 10 < LARGE / 2, "{peak} kB");
    }
}
