//! stdin → [`Input`]: the configuration of one call, checked as far as every plugin needs it.
//!
//! Order of the checks: JSON (code 6), name (7), version (1), `prevResult`. None of them has a side effect.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::name::printable;
use crate::version::UnknownVersion;
use crate::{CniError, CniResult, Input, NetworkName, RawObject, Version, code};

impl Input {
    /// Parses what a plugin finds on stdin.
    ///
    /// # Errors
    /// If it is no configuration that a plugin can be called with.
    pub fn from_stdin(bytes: &[u8], path: Vec<PathBuf>, deadline: Instant) -> Result<Self, CniError> {
        let config = RawObject::parse(bytes)
            .map_err(|e| CniError::new(code::DECODE, format!("the network configuration on stdin: {e}")))?;
        let name = network_name(&config)?;
        let place = |e: CniError| e.context(&format!("network `{name}`"));
        let version = version(&config)?;
        let prev_result = match config.get("prevResult") {
            Some(raw) => CniResult::parse_prev(raw.get().as_bytes(), version).map_err(place)?,
            None => None,
        };
        Ok(Self { version, name, config, prev_result, path, deadline })
    }
}

/// The version an error about these bytes is printed in: theirs if it can be told, else the newest.
pub fn version_hint(bytes: &[u8]) -> Version {
    RawObject::parse(bytes).ok().and_then(|config| version(&config).ok()).unwrap_or(Version::NEWEST)
}

fn network_name(config: &RawObject) -> Result<NetworkName, CniError> {
    match config.get_as::<Value>("name") {
        Ok(None) => Err(CniError::config("the network configuration has no `name`; add one")),
        Ok(Some(Value::String(raw))) => raw.parse().map_err(|e| CniError::config(format!("`name`: {e}"))),
        _ => Err(CniError::config("`name` of the network configuration is not a string")),
    }
}

/// Absent and empty mean 0.1.0 (CNI-CFG-2).
fn version(config: &RawObject) -> Result<Version, CniError> {
    match config.get_as::<Value>("cniVersion") {
        Ok(None) => Ok(Version::V0_1_0),
        Ok(Some(Value::String(raw))) => {
            raw.parse().map_err(|UnknownVersion(raw)| incompatible(&raw, &Version::ALL))
        }
        _ => Err(CniError::new(code::DECODE, "`cniVersion` is not a string such as \"1.1.0\"")),
    }
}

/// The error that every runtime knows (CNI-VER-2).
pub(crate) fn incompatible(config: &str, supported: &[Version]) -> CniError {
    let supported: Vec<&str> = supported.iter().map(|v| v.as_str()).collect();
    CniError::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions").details(format!(
        "the configuration says `{}`, the plugin supports {}",
        printable(config),
        supported.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(raw: &str) -> Result<Input, CniError> {
        Input::from_stdin(raw.as_bytes(), Vec::new(), Instant::now())
    }

    #[track_caller]
    fn refused(raw: &str, code: u32, words: &str) {
        let error = read(raw).expect_err(raw);
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }

    // Proves: CNI-ERR-6, F-INP-5
    #[test]
    fn stdin_that_is_no_object_is_a_decode_error() {
        for raw in ["", "{", "[]", "null", "\u{feff}{}", r#"{"name":"n","name":"m"}"#] {
            refused(raw, code::DECODE, "on stdin");
        }
        refused(r#"{"name":"n","cniVersion":7}"#, code::DECODE, "`cniVersion`");
    }

    // Proves: CNI-CFG-5, CNI-ERR-7
    #[test]
    fn a_missing_or_bad_name_is_code_7() {
        refused("{}", code::INVALID_CONFIG, "no `name`");
        for bad in ["../x", "", "a b", "-a"] {
            refused(&json!({"name": bad}).to_string(), code::INVALID_CONFIG, "`name`");
        }
        refused(r#"{"name":["n"]}"#, code::INVALID_CONFIG, "not a string");
    }

    // Proves: CNI-VER-2, CNI-VER-3, CNI-ERR-1, F-INP-6
    #[test]
    fn an_unknown_version_is_code_1_and_names_both_sides() {
        for odd in ["0.9.9", "1.0", "9.9.9", "0.0.0"] {
            let error = read(&json!({"name": "n", "cniVersion": odd}).to_string()).expect_err(odd);
            assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
            assert!(error.msg.contains("incompatible CNI versions"), "{error}");
            assert!(error.details.contains(odd) && error.details.contains("0.1.0, 0.2.0"), "{error}");
        }
    }

    // Proves: CNI-CFG-2
    #[test]
    fn no_version_is_the_oldest() {
        assert_eq!(read(r#"{"name":"n"}"#).expect("fine").version, Version::V0_1_0);
        assert_eq!(read(r#"{"name":"n","cniVersion":""}"#).expect("fine").version, Version::V0_1_0);
    }

    // Proves: CNI-CONV-6, CNI-DEL-2
    #[test]
    fn a_prev_result_is_read_in_the_versions_family_and_may_be_missing_or_empty() {
        let with = |prev: &str| read(&format!(r#"{{"name":"n","cniVersion":"1.0.0","prevResult":{prev}}}"#));
        assert_eq!(with("null").expect("fine").prev_result, None);
        assert_eq!(with("{}").expect("fine").prev_result, Some(CniResult::default()));
        assert_eq!(with(r#"{"cniVersion":"1.1.0"}"#).expect("fine").prev_result, Some(CniResult::default()));
        let error = with(r#"{"cniVersion":"0.4.0"}"#).expect_err("another family");
        assert_eq!(error.code, code::INCOMPATIBLE_VERSION);
        assert_eq!(with("7").expect_err("not a result").code, code::DECODE);
    }

    // Proves: CNI-CHK-2
    #[test]
    fn a_plugin_that_needs_the_prev_result_can_say_so() {
        let input = read(r#"{"name":"n","cniVersion":"1.0.0"}"#).expect("fine");
        let error = input.require_prev_result().expect_err("there is none");
        assert!(error.code == code::INVALID_CONFIG && error.msg.contains("`prevResult`"), "{error}");
    }

    // Proves: CNI-RES-7
    #[test]
    fn an_error_is_printed_in_the_version_of_the_text_where_that_can_be_told() {
        assert_eq!(version_hint(br#"{"cniVersion":"0.4.0","name":"-"}"#), Version::V0_4_0);
        assert_eq!(version_hint(b"rubbish"), Version::NEWEST);
    }

    proptest::proptest! {
        // Proves: S-8
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Input::from_stdin(&bytes, Vec::new(), Instant::now());
            let _ = crate::NetworkList::parse(&bytes);
            let _ = crate::cache::Cached::parse(&bytes);
        }

        // Proves: S-8
        #[test]
        fn no_value_at_a_key_makes_the_reader_panic(
            key in "name|cniVersion|prevResult|ipam|cni.dev/valid-attachments",
            value in "\\PC{0,30}|\"\\PC{0,10}\"|-?[0-9]{1,30}(e[0-9]{1,5})?|\\[\\{\\}\\]",
        ) {
            let raw = format!(r#"{{"cniVersion":"1.1.0","name":"n","x":{{}},"{key}":{value}}}"#).replacen(&format!("\"{key}\":\"n\","), "", 1);
            if let Ok(input) = read(&raw) {
                let _ = crate::call::valid_attachments(&input.config);
                let _ = crate::Ipam::of(&input, |_| None);
            }
        }
    }
}
