//! `iptables` and `ip6tables`: a table as the lines that would make it, and changes to it, all at one go or none.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_cni::CniError;
use manifold_net::tool::{self, NoEnd};

use crate::interface::ruleset::LAST_GRACE;

/// Seconds to wait for another user of iptables.
const PATIENCE: &str = "5";
/// How often a change is decided; chains that all pods share are made by the first only, so few meet twice.
const ATTEMPTS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

/// A word as iptables itself prints it, safe in a line for its restore.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An error where the kernel has one of an attachment's own chains, and the host no tool that could remove it.
pub(crate) fn nothing_stays_without_tool(
    families: &[Family],
    table: &str,
    chains: &[String],
    deadline: Instant,
) -> Result<(), CniError> {
    let stuck = |family: &&Family| {
        Tool::find(**family, deadline).is_none()
            && manifold_net::iptables::has_chain(family.of_kernel(), table, chains)
    };
    families.iter().find(stuck).map_or(Ok(()), |family| {
        let text = format!(
            "rules of this pod stay in table `{table}`, because `{}` is not installed; install it",
            family.tool()
        );
        Err(CniError::failed(text))
    })
}

/// `iptables` or `ip6tables`, with its restore.
#[derive(Debug)]
pub(crate) struct Tool {
    family: Family,
    list: PathBuf,
    restore: PathBuf,
    deadline: Instant,
}

impl Tool {
    /// `None` where the host has no such tool.
    pub(crate) fn find(family: Family, deadline: Instant) -> Option<Self> {
        let name = family.tool();
        let (list, restore) = (tool::find(name)?, tool::find(&format!("{name}-restore"))?);
        Some(Self { family, list, restore, deadline: deadline.max(Instant::now() + LAST_GRACE) })
    }

    /// A table as commands that would make it.
    pub(crate) fn rules(&self, table: &str) -> Result<Vec<String>, CniError> {
        let listing = self.run(&self.list, &["-w", PATIENCE, "-t", table, "-S"], "list the rules", "")?;
        Ok(listing.lines().map(str::to_owned).collect())
    }

    /// Makes all changes to a table at one go, or none. `what` ends the sentence "iptables refused to …".
    pub(crate) fn change(&self, table: &str, what: &str, lines: &[String]) -> Result<(), CniError> {
        if lines.is_empty() {
            return Ok(());
        }
        let input = format!("*{table}\n{}\nCOMMIT\n", lines.join("\n"));
        self.run(&self.restore, &["-w", PATIENCE, "--noflush"], what, &input).map(drop)
    }

    /// Changes a table as `decide` says of its rules. Another call may make the same chains between the look and the
    /// change, which is then refused as a whole: so with other rules it is decided anew.
    pub(crate) fn settle(
        &self,
        table: &str,
        what: &str,
        mut there: Vec<String>,
        decide: impl Fn(&[String]) -> Vec<String>,
    ) -> Result<(), CniError> {
        for _ in 1..ATTEMPTS {
            let Err(refused) = self.change(table, what, &decide(&there)) else { return Ok(()) };
            let now = self.rules(table)?;
            if now == there {
                return Err(refused);
            }
            there = now;
        }
        self.change(table, what, &decide(&there))
    }

    /// Removes what `decide` says of the rules; `None` where the tool does not work. If the kernel has none of `chains`,
    /// there is nothing to remove and the tool is not started; with no chain named it always is.
    pub(crate) fn remove(
        &self,
        table: &str,
        what: &str,
        chains: &[String],
        decide: impl Fn(&[String]) -> Vec<String>,
    ) -> Option<Result<(), CniError>> {
        if !chains.is_empty() && !self.family.may_have_chain(table, chains) {
            return Some(Ok(()));
        }
        let there = self.rules(table).ok()?;
        Some(self.settle(table, what, there, decide))
    }

    fn run(&self, program: &Path, arguments: &[&str], what: &str, input: &str) -> Result<String, CniError> {
        let name = self.family.tool();
        let ended =
            tool::run(program, arguments, input.as_bytes(), self.deadline).map_err(
                |no_end| match no_end {
                    NoEnd::Start(error) | NoEnd::Watch(error) => {
                        CniError::failed(format!("`{name}` cannot be run ({error})"))
                    }
                    NoEnd::Deadline(_) => {
                        CniError::failed(format!("`{name}` did not end in time and was stopped"))
                    }
                },
            )?;
        if ended.stdout.overflow {
            return Err(CniError::failed(format!("`{name}` printed more rules than can be read")));
        }
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout.bytes).into_owned());
        }
        let complained = String::from_utf8_lossy(&ended.stderr.bytes);
        let complaint = complained.lines().next().unwrap_or("it gave no reason").trim();
        Err(CniError::failed(format!("`{name}` refused to {what}: {complaint}")))
    }
}

impl Family {
    pub(crate) fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    /// Whether the kernel may have one of these chains.
    pub(crate) fn may_have_chain(self, table: &str, names: &[String]) -> bool {
        manifold_net::iptables::may_have_chain(self.of_kernel(), table, names)
    }

    fn of_kernel(self) -> manifold_net::Family {
        match self {
            Self::V4 => manifold_net::Family::V4,
            Self::V6 => manifold_net::Family::V6,
        }
    }

    pub(crate) fn tool(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}
