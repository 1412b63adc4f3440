//! `manifold uninstall`: the node's CNI folders are given back by hand, as the node agent does it when the cluster says so.
//!
//! What lay there before comes from the record that the node agent keeps. The node agent must not run any more: it would put
//! everything back.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use manifold_ledger::installed::{Installed, pods_with_networks, refusal};

const STATE: &str = "/var/lib/cni/manifold";
const USAGE: &str = "manifold uninstall [--leave] [--state-dir FOLDER] [--root FOLDER]";

/// What was done, for the person who asked; an error is one sentence.
pub fn run(words: &[&str]) -> anyhow::Result<String> {
    let (mut leave, mut state, mut root) = (false, PathBuf::from(STATE), PathBuf::from("/"));
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--leave" => leave = true,
            "--state-dir" => state = words.next().with_context(|| format!("usage: {USAGE}"))?.into(),
            "--root" => root = words.next().with_context(|| format!("usage: {USAGE}"))?.into(),
            other => bail!("`{other}` is not understood; usage: {USAGE}"),
        }
    }
    let record = Installed::read(&state).with_context(|| {
        format!("the record of the installation below `{}` cannot be read", state.display())
    })?;
    let Some(record) = record else {
        return Ok(format!("nothing is installed from `{}`", state.display()));
    };
    let pods = pods_with_networks(&state).context("the ledger cannot be read")?;
    if !leave && !pods.is_empty() {
        bail!("{}", refusal(&pods));
    }
    let done = record.give_back(&state, &root).with_context(|| {
        format!("the folders cannot be restored; check that `{}` can be written", state.display())
    })?;
    let mut told: Vec<String> = Vec::new();
    told.extend(done.removed.iter().map(|path| format!("removed `{}`", path.display())));
    told.extend(done.restored.iter().map(|path| format!("`{}` is as it was found", path.display())));
    told.extend(done.left);
    Ok(told.join("\n"))
}

#[cfg(test)]
mod tests {
    use manifold_ledger::content::Content;
    use manifold_ledger::durable;
    use manifold_ledger::installed::Folder;

    use super::*;

    #[test]
    fn by_hand_the_folders_are_as_they_were_found_and_a_second_time_there_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (state, root) = (dir.path().join("state"), dir.path());
        for folder in ["state", "bin", "conf"] {
            durable::folder(&root.join(folder), 0o700).unwrap();
        }
        std::fs::write(root.join("bin/manifold"), "by hand").unwrap();
        let mut record =
            Installed { bin_dir: "/bin".into(), conf_dir: "/conf".into(), ..Installed::default() };
        record.note(&state, root, Folder::Bin, "manifold", Content::Bytes(b"ours")).unwrap();
        record.note(&state, root, Folder::Conf, "00-x.conflist", Content::Bytes(b"{}")).unwrap();
        record.save(&state).unwrap();
        durable::put(&root.join("bin"), "manifold", b"ours", 0o755).unwrap();
        durable::put(&root.join("conf"), "00-x.conflist", b"{}", 0o600).unwrap();
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (state_text, root_text) = (text(&state), text(root));
        let words = ["--state-dir", &state_text, "--root", &root_text];
        let told = run(&words).unwrap();
        assert!(told.contains("removed") && told.contains("is as it was found"), "{told}");
        assert_eq!(std::fs::read(root.join("bin/manifold")).unwrap(), b"by hand");
        assert!(!root.join("conf/00-x.conflist").exists());
        assert!(run(&words).unwrap().contains("nothing is installed"));
        assert!(run(&["--levae"]).unwrap_err().to_string().contains("`--levae` is not understood"));
    }
}
