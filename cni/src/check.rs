//! Whether the answer to CHECK says that the plugin has no CHECK at all.
//!
//! Many plugins in use have none and say so with an error of their own wording: whereabouts, "CNI CHECK method is not
//! implemented". That is no sign of a broken attachment, and a runtime that hears it as an error does not start the pod.

use crate::{CniError, code};

/// An error by which an executed plugin says that it cannot check. Anything else is a failed CHECK.
pub fn is_not_offered(error: &CniError) -> bool {
    let text = format!("{} {}", error.msg, error.details).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match error.code {
        // It does not speak the version of the configuration, or the verb.
        code::INCOMPATIBLE_VERSION => true,
        code::INVALID_ENVIRONMENT => says(&["unknown cni_command"]),
        // A system call that is denied is "function not implemented", and a driver has no "spoof check".
        _ if says(&["function not implemented", "spoof"]) => false,
        _ => {
            let denied = ["not implemented", "unimplemented", "not supported", "unsupported"];
            let denies_all = denied[..2].contains(&text.trim());
            denies_all
                || (says(&["check"]) && (says(&denied) || says(&["does not support", "doesn't support"])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(code: u32, msg: &str, expected: bool) {
        assert_eq!(is_not_offered(&CniError::new(code, msg)), expected, "{code} {msg}");
    }

    // Shows part of: COMPAT-24
    #[test]
    fn only_words_that_deny_the_verb_say_that_a_plugin_cannot_check() {
        is(999, "CNI CHECK method is not implemented", true);
        is(100, "not implemented", true);
        is(999, "CHECK is not supported", true);
        is(100, "plugin does not support CHECK", true);
        is(1, "incompatible CNI versions", true);
        is(4, "unknown CNI_COMMAND: CHECK", true);
        is(4, "CNI_CONTAINERID is missing from the environment", false);
        is(100, "interface net1 not found", false);
        is(100, "operation not supported", false);
        is(101, "the address 10.0.0.2/24 is gone", false);
        is(11, "the check failed", false);
        is(100, "cannot check the route: function not implemented", false);
        is(100, "spoof check is not supported by the driver", false);
        is(100, "IPv6 is not implemented", false);
        assert!(is_not_offered(&CniError::new(999, "failed").details("cmdCheck: Unimplemented")));
    }
}
