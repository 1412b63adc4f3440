//! The executables in the plugin folder: `manifold`, and the names of plugins that it was asked to have.
//!
//! Never written in place: a running shim keeps the file it has, the next one gets the new file whole. A name that holds
//! somebody else's plugin is left to it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

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
    executable: &[u8],
    links: &[String],
    record: &mut Installed,
) -> io::Result<Looked> {
    let folder = host.bin();
    durable::folder(&folder, 0o755)?;
    let mut looked = Looked::default();
    if !is(&folder.join(EXECUTABLE), executable)? {
        note(host, record, EXECUTABLE, executable)?;
        durable::put(&folder, EXECUTABLE, executable, MODE)?;
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
    executable: &[u8],
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

fn note(host: &Host, record: &mut Installed, name: &str, bytes: &[u8]) -> io::Result<()> {
    if record.note(&host.state(), &host.root, Folder::Bin, name, bytes)? {
        record.save(&host.state())?;
    }
    Ok(())
}

/// Whether this file is there, plain, executable for root and byte for byte the same.
fn is(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let fits =
        meta.is_file() && meta.len() == bytes.len() as u64 && meta.permissions().mode() & 0o777 == MODE;
    Ok(fits && fs::read(path)? == bytes)
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

    #[test]
    fn nothing_is_written_when_everything_is_there() {
        let (_dir, host) = host();
        let mut record = Installed { bin_dir: host.bin_dir.clone(), ..Installed::default() };
        let links = ["bridge".to_owned()];
        let first = install(&host, b"one", &links, &mut record).unwrap();
        assert_eq!(first.written, ["manifold", "bridge"]);
        assert_eq!(install(&host, b"one", &links, &mut record).unwrap(), Looked::default());
        let upgraded = install(&host, b"two", &links, &mut record).unwrap();
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
        let looked = install(&host, b"one", &links, &mut record).unwrap();
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
        let sleep = fs::read("/bin/sleep").unwrap();
        install(&host, &sleep, &[], &mut record).unwrap();
        let path = host.bin().join(EXECUTABLE);
        let run = || std::process::Command::new(&path).arg("60").spawn().unwrap();
        let mut running: Vec<_> = (0..100).map(|_| run()).collect();
        let other = fs::read("/bin/true").unwrap();
        install(&host, &other, &[], &mut record).unwrap();
        assert!(running.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        assert!(run().wait().unwrap().success());
        for child in &mut running {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
