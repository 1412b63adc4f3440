//! What has to be there before the node agent can begin: one sentence for whoever reads the termination message.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use manifold_ledger::durable;

use super::config::Config;
use super::denied::Folder;

const ELF: &[u8; 4] = b"\x7fELF";

/// A look at every folder, and at the executable to install.
pub fn look(config: &Config) -> anyhow::Result<()> {
    let host = &config.host;
    for (folder, mode) in [
        (Folder::of_plugins(host), 0o755),
        (Folder::of_configurations(host), 0o755),
        (Folder::of_state(host), 0o700),
    ] {
        try_writing(&folder.path, mode).map_err(|error| anyhow!("{}", folder.explain(&error)))?;
    }
    let source = &config.executable.source;
    let mut begin = Vec::new();
    let read = File::open(source).and_then(|file| file.take(ELF.len() as u64).read_to_end(&mut begin));
    read.with_context(|| {
        format!("the executable `{}` cannot be read; name it in `executable.source`", source.display())
    })?;
    if begin != ELF {
        bail!("`{}` (`executable.source`) is not a Linux executable", source.display());
    }
    Ok(())
}

fn try_writing(folder: &Path, mode: u32) -> io::Result<()> {
    const PROBE: &str = ".manifold-unfinished-probe";
    durable::folder(folder, mode)?;
    durable::put(folder, PROBE, b"", 0o600)?;
    fs::remove_file(folder.join(PROBE))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: P-UP-10
    #[test]
    fn what_is_missing_is_one_sentence_with_the_key_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.host.root = dir.path().to_owned();
        config.executable.source = dir.path().join("none");
        let told = format!("{:#}", look(&config).unwrap_err());
        assert!(told.contains("`executable.source`"), "{told}");
        fs::write(dir.path().join("none"), "text").unwrap();
        assert!(look(&config).unwrap_err().to_string().contains("not a Linux executable"));
        fs::remove_dir_all(host_conf(&config)).unwrap();
        fs::write(host_conf(&config), "a file where the folder should be").unwrap();
        let told = format!("{:#}", look(&config).unwrap_err());
        assert!(told.contains("mount `host.confDir`"), "{told}");
    }

    fn host_conf(config: &Config) -> std::path::PathBuf {
        config.host.conf()
    }
}
