//! The version in which a network is run whose configuration says none.
//!
//! Multus runs it as 0.1.0, which every plugin speaks. Ours is the newest version, up to that of the runtime's own
//! configuration, that every executable of the list speaks by its own word (VERSION). Bundled plugins speak all of them. An
//! answer is remembered for as long as the file is the same, one that is of no use for an hour; a list of bundled plugins alone
//! asks nobody.

use std::time::{Duration, Instant};

use manifold_cni::{CniError, Executed, PluginType, Version, code, probe};
use manifold_ledger::RecordedPlugin;
use manifold_ledger::executable::ExecutableFile;
use manifold_ledger::spoken::{Answer, SpokenVersions};

use crate::shim::Shim;

/// What one plugin may take to answer VERSION.
const ANSWER: Duration = Duration::from_secs(5);

/// An executable with the versions that it speaks.
struct Speaker {
    name: String,
    versions: Vec<Version>,
}

/// The newest version up to `most` that all executables of the list speak. One that gives no usable answer counts as
/// speaking `most`: it says itself at its ADD what it does not speak.
pub(crate) fn common(shim: &Shim, plugins: &[RecordedPlugin], most: Version) -> Result<Version, CniError> {
    let executables = plugins.iter().flat_map(|plugin| &plugin.executables);
    let speakers: Vec<Speaker> = executables.filter_map(|executable| ask(shim, executable)).collect();
    newest(&speakers, most).ok_or_else(|| nothing_in_common(&speakers, most))
}

fn newest(speakers: &[Speaker], most: Version) -> Option<Version> {
    let all_speak = |version: &Version| speakers.iter().all(|s| s.versions.contains(version));
    Version::ALL.into_iter().rev().filter(|version| *version <= most).find(all_speak)
}

fn ask(shim: &Shim, executable: &ExecutableFile) -> Option<Speaker> {
    let cache = SpokenVersions::of(&shim.config.state_dir);
    let name = executable.path.file_name()?.to_string_lossy().into_owned();
    let said = match cache.get(executable) {
        Some(said) => said,
        None => {
            let said = answer(shim, executable, &name)?;
            if let Err(e) = cache.put(executable, &said) {
                tracing::debug!("the CNI versions of `{name}` cannot be cached: {e}");
            }
            said
        }
    };
    let Answer::Versions(said) = said else { return None };
    Some(Speaker { name, versions: said.iter().filter_map(|version| version.parse().ok()).collect() })
}

/// `None`: there was no time to answer, which says nothing of the plugin.
fn answer(shim: &Shim, executable: &ExecutableFile, name: &str) -> Option<Answer> {
    let kind: PluginType = name.parse().ok()?;
    let plugin = Executed::new(kind, executable.path.clone());
    let deadline = shim.add_deadline().min(Instant::now() + ANSWER);
    match probe::supported(&plugin, &shim.folders, deadline) {
        Ok(versions) => Some(Answer::Versions(versions)),
        Err(e) => {
            tracing::warn!("plugin `{name}` does not report which CNI versions it supports: {e}");
            (Instant::now() < deadline).then_some(Answer::Unusable)
        }
    }
}

fn nothing_in_common(speakers: &[Speaker], most: Version) -> CniError {
    let said = |s: &Speaker| {
        let versions: Vec<&str> = s.versions.iter().map(|v| v.as_str()).collect();
        let versions = if versions.is_empty() { "no known version".to_owned() } else { versions.join(", ") };
        format!("`{}` speaks {versions}", s.name)
    };
    let said: Vec<String> = speakers.iter().map(said).collect();
    let msg = format!(
        "the configuration says no `cniVersion`, and its plugins have no version in common up to {most}: {}",
        said.join("; ")
    );
    CniError::new(code::INCOMPATIBLE_VERSION, msg)
        .details("fix: install releases of the plugins that support a common version, or set `cniVersion`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(name: &str, versions: &[Version]) -> Speaker {
        Speaker { name: name.to_owned(), versions: versions.to_vec() }
    }

    // Shows part of: COMPAT-5
    #[test]
    fn the_newest_common_version_is_taken_and_never_a_newer_one_than_the_runtimes() {
        use Version::{V0_1_0, V0_2_0, V0_3_1, V0_4_0, V1_0_0, V1_1_0};
        let (old, newer) = (speaker("a", &[V0_3_1, V0_4_0]), speaker("b", &[V0_4_0, V1_0_0, V1_1_0]));
        assert_eq!(newest(&[], V1_1_0), Some(V1_1_0));
        assert_eq!(newest(&[], V1_0_0), Some(V1_0_0));
        assert_eq!(newest(std::slice::from_ref(&newer), V1_0_0), Some(V1_0_0));
        assert_eq!(newest(&[old, newer], V1_1_0), Some(V0_4_0));
        let apart = [speaker("a", &[V0_1_0, V0_2_0]), speaker("b", &[V1_0_0]), speaker("c", &[])];
        assert_eq!(newest(&apart, V1_1_0), None);
        let error = nothing_in_common(&apart, V1_1_0);
        assert_eq!(error.code, 1);
        for words in ["`a` speaks 0.1.0, 0.2.0", "`b` speaks 1.0.0", "`c` speaks no known version"] {
            assert!(error.msg.contains(words), "{error}");
        }
    }
}
