//! Which kernel settings the node's administrator lets networks write (PLG-TUNING-2).

use std::io::ErrorKind;
use std::path::Path;

use manifold_cni::CniError;
use manifold_plugin_conf::tuning::Sysctl;
use regex_lite::Regex;

/// Without the file every setting is allowed; an empty one allows none.
pub(super) fn check(file: &Path, sysctls: &[Sysctl]) -> Result<(), CniError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let text = format!("the allow-list `{}` cannot be read ({error})", file.display());
            return Err(CniError::io(&error, text));
        }
    };
    if sysctls.is_empty() {
        return Ok(());
    }
    let patterns = patterns(&text).map_err(|(line, why)| {
        let text =
            format!("line {line} of the allow-list `{}` is not a pattern: {why}; correct it", file.display());
        CniError::config(text)
    })?;
    match sysctls.iter().find(|sysctl| !patterns.iter().any(|pattern| pattern.is_match(&sysctl.key))) {
        None => Ok(()),
        Some(sysctl) => Err(CniError::config(format!(
            "the node's allow-list `{}` does not allow the kernel setting `{}`; remove it, or add it to the allow-list",
            file.display(),
            sysctl.key
        ))),
    }
}

/// One pattern per line, which matches anywhere in the setting's name as it was written.
fn patterns(text: &str) -> Result<Vec<Regex>, (usize, String)> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(n, line)| Regex::new(line).map_err(|error| (n + 1, error.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, RawObject};
    use manifold_plugin_conf::TuningConf;

    use super::*;

    fn allowed(list: Option<&str>, key: &str) -> Result<(), CniError> {
        let raw = format!(r#"{{"sysctl":{{"{key}":"1"}}}}"#);
        let conf = TuningConf::read(&RawObject::parse(raw.as_bytes()).unwrap(), &CniArgs::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allowlist.conf");
        if let Some(list) = list {
            std::fs::write(&file, list).unwrap();
        }
        check(&file, &conf.sysctls)
    }

    // Proves: PLG-TUNING-2
    #[test]
    fn an_absent_list_allows_all_an_empty_one_none_and_a_pattern_matches_anywhere() {
        let key = "net.ipv4.conf.IFNAME.arp_filter";
        allowed(None, key).unwrap();
        for (list, ok) in [
            ("", false),
            ("\n\n", false),
            ("^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$\n", true),
            ("arp_filter", true),
            ("net.core\n  conf.IFNAME  \n", true),
            ("^arp_filter", false),
            ("net/ipv4", false),
            ("eth0", false),
        ] {
            assert_eq!(allowed(Some(list), key).is_ok(), ok, "{list:?}");
        }
        // As it is written, not as it will be named.
        allowed(Some("^net/ipv4"), "net/ipv4/conf/IFNAME/arp_filter").unwrap();
        let error = allowed(Some("net\n(x"), key).unwrap_err();
        assert!(error.msg.contains("line 2 of the allow-list"), "{error}");
    }
}
