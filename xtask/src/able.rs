//! Whether a verb that makes network namespaces can run here: as root, with the two capabilities that this needs.

use anyhow::{Context as _, bail};

/// Names and numbers as the kernel has them.
const NEEDED: [(&str, u32); 2] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)];

pub(crate) fn check(verb: &str) -> anyhow::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read `/proc/self/status`")?;
    judge(verb, &status)
}

fn judge(verb: &str, status: &str) -> anyhow::Result<()> {
    let words = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    let effective_user = words("Uid:").split_whitespace().nth(1);
    if effective_user != Some("0") {
        bail!("`cargo xtask {verb}` makes network namespaces, which only root may: run it as root");
    }
    let mask = u64::from_str_radix(words("CapEff:").trim(), 16).unwrap_or_default();
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(_, n)| mask >> n & 1 == 0).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        bail!(
            "`cargo xtask {verb}` makes network namespaces, and this root lacks {}: run it outside the container, or give \
             the container that capability",
            missing.join(" and ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(user: u32, mask: &str) -> String {
        format!("Name:\tx\nUid:\t1000\t{user}\t0\t0\nCapEff:\t{mask}\n")
    }

    #[test]
    fn root_with_both_capabilities_may() {
        assert!(judge("demo", &status(0, "000001ffffffffff")).is_ok());
        assert!(judge("demo", &status(0, "0000000000201000")).is_ok());
    }

    #[test]
    fn what_is_missing_is_told_in_one_sentence() {
        let why = |user, mask| judge("demo", &status(user, mask)).unwrap_err().to_string();
        assert!(why(1000, "000001ffffffffff").contains("only root may"));
        assert!(why(0, "0000000000001000").contains("lacks CAP_SYS_ADMIN:"));
        assert!(why(0, "0").contains("lacks CAP_NET_ADMIN and CAP_SYS_ADMIN:"));
        assert!(judge("demo", "").is_err());
    }
}
