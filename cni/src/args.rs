//! `CNI_ARGS`: pairs `K=V` joined by `;`, in the order they came.

/// Lenient on purpose: split at the first `=`, empty pieces skipped, unknown keys kept (F-INP-6). A plugin that wants
/// the reference library's strictness asks [`CniArgs::require_known`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs(Vec<(String, String)>);

impl CniArgs {
    /// Splits `KEY=value;KEY=value`. What has no `=` is ignored, as every plugin ignores it.
    pub fn parse(raw: &str) -> Self {
        let pair = |p: &str| match p.split_once('=') {
            Some((k, v)) => (k.to_owned(), v.to_owned()),
            None => (p.to_owned(), String::new()),
        };
        Self(raw.split(';').filter(|p| !p.is_empty()).map(pair).filter(|(k, _)| !k.is_empty()).collect())
    }

    /// The last value wins, as in the reference library.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Sets a key, replacing every earlier value in place so that none stands twice (MLT-EXE-5).
    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter().position(|(k, _)| k == key) {
            Some(at) => {
                let tail = self.0.split_off(at + 1);
                self.0.truncate(at);
                self.0.push((key.to_owned(), value.to_owned()));
                self.0.extend(tail.into_iter().filter(|(k, _)| k != key));
            }
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    /// The pairs in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Refuses keys outside `known` unless `IgnoreUnknown` is `1` or `true` (PLG-COM-25).
    ///
    /// # Errors
    /// If there is another key and `IgnoreUnknown` is not `1` or `true`.
    pub fn require_known(&self, known: &[&str]) -> Result<(), crate::CniError> {
        let ignore = self.get("IgnoreUnknown").is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true"));
        if ignore {
            return Ok(());
        }
        let mut odd =
            self.iter().map(|(k, _)| k).filter(|k| *k != "IgnoreUnknown" && !known.contains(k)).peekable();
        if odd.peek().is_none() {
            return Ok(());
        }
        let odd = crate::name::first_few(odd);
        let msg = format!("CNI_ARGS has the unknown key {odd}; remove it, or add `IgnoreUnknown=1`");
        Err(crate::CniError::new(crate::code::INVALID_ENVIRONMENT, msg))
    }
}

impl std::fmt::Display for CniArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, (k, v)) in self.0.iter().enumerate() {
            write!(f, "{}{k}={v}", if n == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Proves: CNI-ENV-5, F-INP-6, P-DEL-5
    #[test]
    fn pairs_split_at_the_first_equals_sign_and_rubbish_between_them_is_skipped() {
        #[track_caller]
        fn check(raw: &str, expected: &[(&str, &str)]) {
            assert_eq!(CniArgs::parse(raw).iter().collect::<Vec<_>>(), expected);
        }
        check("", &[]);
        check(";;=", &[]);
        check("a=b=c", &[("a", "b=c")]);
        check("A=1;B=2;", &[("A", "1"), ("B", "2")]);
        check("A;B=", &[("A", ""), ("B", "")]);
        assert_eq!(CniArgs::parse("A=1;A=2").get("A"), Some("2"));
    }

    // Proves: MLT-EXE-5
    #[test]
    fn a_key_that_is_set_stands_once_and_in_its_place() {
        let mut args = CniArgs::parse("A=1;B=2;A=3;C=4");
        args.set("A", "9");
        args.set("D", "5");
        assert_eq!(args.to_string(), "A=9;B=2;C=4;D=5");
    }

    // Proves: CNI-CNV-5, PLG-COM-25
    #[test]
    fn unknown_keys_are_refused_unless_the_caller_says_to_ignore_them() {
        let kubernetes =
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_INFRA_CONTAINER_ID=abc";
        assert_eq!(CniArgs::parse(kubernetes).require_known(&["IP"]), Ok(()));
        assert_eq!(CniArgs::parse("IgnoreUnknown=TRUE;FOO=bar").require_known(&[]), Ok(()));
        assert_eq!(CniArgs::parse("IP=10.0.0.1;IgnoreUnknown=0").require_known(&["IP"]), Ok(()));
        for raw in ["FOO=bar", "IgnoreUnknown=false;FOO=bar", "IgnoreUnknown=yes;IP=1;FOO=bar"] {
            let error = CniArgs::parse(raw).require_known(&["IP"]).expect_err(raw);
            assert_eq!(error.code, crate::code::INVALID_ENVIRONMENT);
            assert!(error.msg.contains("`FOO`"), "{}", error.msg);
        }
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn what_was_printed_parses_to_the_same(raw in "[A-Za-z=;0-9 \u{e9}]{0,60}") {
            let once = CniArgs::parse(&raw);
            prop_assert_eq!(CniArgs::parse(&once.to_string()), once);
        }
    }
}
