//! Which versions a plugin says it supports, asked by VERSION.
//!
//! Lists are run without asking first: a plugin that does not speak the list's version says so itself, with code 1 and
//! before it touches anything, and that is one execution less for every attachment (CNI-CFG-4). This is for whoever
//! wants to know beforehand.

use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;

use crate::{CniArgs, CniError, ContainerId, Delegate, IfName, Invocation, Verb, Version, code};

/// The versions that `plugin` names, as it writes them; there may be some that we do not know.
///
/// # Errors
/// If the plugin does not answer VERSION.
pub fn supported(
    plugin: &dyn Delegate,
    path: &[PathBuf],
    deadline: Instant,
) -> Result<Vec<String>, CniError> {
    // Plugins of old skeletons refuse VERSION when these are missing, though it needs none of them.
    let container: ContainerId = "dummy".parse().expect("a valid container id");
    let ifname: IfName = "dummy".parse().expect("a valid interface name");
    let answer = plugin.call(&Invocation {
        verb: Verb::Version,
        container: Some(&container),
        netns: Some("dummy".into()),
        ifname: Some(&ifname),
        args: CniArgs::default(),
        path,
        config: br#"{"cniVersion":"1.1.0"}"#.to_vec(),
        deadline,
    });
    match answer {
        Ok(answer) => named(plugin.name(), &answer),
        Err(e) if e.msg == "unknown CNI_COMMAND: VERSION" => Ok(vec![Version::V0_1_0.to_string()]),
        Err(e) => Err(e),
    }
}

fn named(plugin: &str, answer: &[u8]) -> Result<Vec<String>, CniError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        cni_version: String,
        #[serde(default)]
        supported_versions: Option<Vec<String>>,
    }
    let wrong =
        |why: String| CniError::new(code::DECODE, format!("plugin `{plugin}` answered VERSION {why}"));
    let answer: Answer =
        crate::json::any_case::from_slice(answer).map_err(|e| wrong(format!("with something else: {e}")))?;
    match answer.supported_versions {
        Some(versions) if !versions.is_empty() => Ok(versions),
        _ if answer.cni_version == "0.2.0" => Ok(vec!["0.1.0".to_owned(), "0.2.0".to_owned()]),
        _ => Err(wrong("without `supportedVersions`".to_owned())),
    }
}
