//! Whether the licence that a crate offers is one of those that are allowed.

use anyhow::Context as _;
use spdx::{Expression, Licensee, ParseMode};

use super::graph::Package;

pub(super) fn find_violations(allowed: &[String], packages: &[Package]) -> anyhow::Result<Vec<String>> {
    let parse = |text: &String| {
        Licensee::parse(text).with_context(|| format!("`{text}` in `[licenses] allow` is not a SPDX licence"))
    };
    let allowed: Vec<Licensee> = allowed.iter().map(parse).collect::<anyhow::Result<_>>()?;
    Ok(packages.iter().filter_map(|package| violation(&allowed, package)).collect())
}

fn violation(allowed: &[Licensee], package: &Package) -> Option<String> {
    let Some(text) = &package.licence else {
        return Some(format!("{package} names no licence"));
    };
    // Old crates write `MIT/Apache-2.0`, which is no SPDX expression.
    let Ok(expression) = Expression::parse_mode(text, ParseMode::LAX) else {
        return Some(format!("the licence of {package}, `{text}`, is not a SPDX expression"));
    };
    let is_allowed = expression.evaluate(|required| allowed.iter().any(|known| known.satisfies(required)));
    (!is_allowed).then(|| format!("the licence of {package}, `{text}`, is not in `[licenses] allow`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(licence: Option<&str>, expected: Option<&str>) {
        let package = Package {
            name: "a".into(),
            version: "1.0.0".into(),
            licence: licence.map(Into::into),
            source: None,
            is_member: true,
            wildcards: Vec::new(),
        };
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        let findings = find_violations(&allowed, &[package]).unwrap();
        match expected {
            None => assert!(findings.is_empty(), "{findings:?}"),
            Some(part) => assert!(findings.concat().contains(part), "{findings:?}"),
        }
    }

    #[test]
    fn one_alternative_is_enough_and_all_parts_are_needed() {
        check(Some("MIT"), None);
        check(Some("GPL-3.0-only OR MIT"), None);
        check(Some("GPL-3.0-only/MIT"), None);
        check(Some("MIT AND ISC"), None);
        check(Some("Apache-2.0 WITH LLVM-exception"), None);
        check(Some("MIT AND GPL-3.0-only"), Some("is not in `[licenses] allow`"));
        check(Some("Apache-2.0"), Some("is not in `[licenses] allow`"));
    }

    #[test]
    fn a_licence_that_cannot_be_read_is_a_violation() {
        check(None, Some("names no licence"));
        check(Some("as you like"), Some("is not a SPDX expression"));
    }

    #[test]
    fn an_allowed_licence_must_be_one() {
        assert!(find_violations(&["MITT".to_owned()], &[]).is_err());
    }
}
