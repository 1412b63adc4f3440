//! Whether every crate that is linked may be: its licence, its source, and that it is there in one version.
//!
//! The rules are in `deny.toml`, in the format of cargo-deny, which is too large to build for these three questions
//! (`docs/adr/0006-small-tools-for-checks.md`).

mod graph;
mod licence;
mod policy;

use std::collections::BTreeMap;

use anyhow::bail;

use graph::Package;
use policy::Policy;

pub(super) fn check() -> anyhow::Result<()> {
    let policy = Policy::read()?;
    let packages = graph::packages(policy.targets())?;
    let findings = find_violations(&policy, &packages)?;
    if findings.is_empty() { Ok(()) } else { bail!("deny.toml is violated:\n  {}", findings.join("\n  ")) }
}

/// One sentence for each rule that a crate breaks, and for each exception that none needs any more.
fn find_violations(policy: &Policy, packages: &[Package]) -> anyhow::Result<Vec<String>> {
    let mut findings = licence::find_violations(policy.allowed_licences(), packages)?;
    findings.extend(packages.iter().filter_map(|package| unknown_source(policy, package)));
    findings.extend(packages.iter().flat_map(wildcards));
    findings.extend(duplicates(policy, packages));
    findings.extend(unused_exceptions(policy, packages));
    Ok(findings)
}

fn unknown_source(policy: &Policy, package: &Package) -> Option<String> {
    let source = package.source.as_deref();
    let known = match source {
        None => package.is_member,
        Some(source) => policy.allows_source(source),
    };
    let place = source.unwrap_or("a folder outside the workspace");
    (!known).then(|| format!("{package} comes from {place}, which `[sources]` does not allow"))
}

/// A requirement `*` takes whatever is newest. Members name each other by path, which has no version.
fn wildcards(package: &Package) -> Vec<String> {
    let anything = |name: &String| format!("{package} takes any version of `{name}`; name the one it needs");
    if package.is_member { package.wildcards.iter().map(anything).collect() } else { Vec::new() }
}

fn duplicates(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !policy.is_excepted(&package.spec())) {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several
        .map(|(name, versions)| {
            format!(
                "`{name}` is linked in the versions {}: move to one, or give the reason in `[bans] skip`",
                versions.join(", ")
            )
        })
        .collect()
}

/// An exception for a version that is gone, or that is the only one, hides the next duplicate.
fn unused_exceptions(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let is_needed = |spec: &str| {
        let found = packages.iter().find(|package| package.spec() == spec);
        found.is_some_and(|found| packages.iter().filter(|other| other.name == found.name).count() > 1)
    };
    let unused = policy.exceptions().filter(|spec| !is_needed(spec));
    unused
        .map(|spec| format!("`[bans] skip` names `{spec}`, which is not a duplicate any more: remove it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "registry+https://example.org/index";

    fn policy(skip: &str) -> Policy {
        let text = format!(
            "[graph]\ntargets = []\n[licenses]\nallow = [\"MIT\"]\n[bans]\nskip = [{skip}]\n\
             [sources]\nallow-registry = [\"https://example.org/index\"]\nallow-git = []\n"
        );
        Policy::parse(&text).unwrap()
    }

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: Some("MIT".into()),
            source: Some(REGISTRY.into()),
            is_member: false,
            wildcards: Vec::new(),
        }
    }

    #[track_caller]
    fn check_finding(skip: &str, packages: &[Package], expected: &str) {
        let findings = find_violations(&policy(skip), packages).unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings.concat().contains(expected), "{findings:?}");
    }

    #[test]
    fn the_project_keeps_its_own_rules() {
        check().unwrap();
    }

    #[test]
    fn a_crate_that_breaks_no_rule_is_not_named() {
        let member = Package { source: None, is_member: true, ..package("b", "1.0.0") };
        assert!(find_violations(&policy(""), &[package("a", "1.0.0"), member]).unwrap().is_empty());
    }

    #[test]
    fn a_crate_from_elsewhere_is_named() {
        let from = |source: Option<&str>| Package { source: source.map(Into::into), ..package("a", "1.0.0") };
        check_finding("", &[from(Some("git+https://example.org/a#12"))], "`a` 1.0.0 comes from git+");
        check_finding(
            "",
            &[from(Some("registry+https://other.example.org"))],
            "comes from registry+https://other",
        );
        check_finding("", &[from(None)], "a folder outside the workspace");
    }

    #[test]
    fn a_duplicate_without_a_reason_is_named() {
        let both = [package("a", "1.0.0"), package("a", "2.0.0")];
        check_finding("", &both, "`a` is linked in the versions 1.0.0, 2.0.0");
        let skip = "{ crate = \"a@1.0.0\", reason = \"b is old\" }";
        assert!(find_violations(&policy(skip), &both).unwrap().is_empty());
    }

    #[test]
    fn an_exception_that_none_needs_is_named() {
        let skip = "{ crate = \"a@1.0.0\", reason = \"b is old\" }";
        check_finding(skip, &[package("a", "1.0.0")], "is not a duplicate any more");
        check_finding(skip, &[package("a", "2.0.0")], "is not a duplicate any more");
    }

    #[test]
    fn an_exception_needs_a_reason() {
        for skip in ["{ crate = \"a@1.0.0\" }", "{ crate = \"a@1.0.0\", reason = \" \" }"] {
            let text = format!(
                "[graph]\ntargets = []\n[licenses]\nallow = []\n[bans]\nskip = [{skip}]\n[sources]\n"
            );
            assert!(format!("{:#}", Policy::parse(&text).unwrap_err()).contains("reason"), "{skip}");
        }
    }

    #[test]
    fn a_member_that_takes_any_version_is_named() {
        let member = Package { is_member: true, wildcards: vec!["b".into()], ..package("a", "1.0.0") };
        check_finding("", &[member], "takes any version of `b`");
    }
}
