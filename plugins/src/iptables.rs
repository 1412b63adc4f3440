//! `iptables` and `ip6tables`: a table as the lines that would make it, and changes to it, all at one go or none.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use manifold_cni::CniError;
use manifold_net::tool;

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
        let mut command = Command::new(&self.list);
        command.args(["-w", PATIENCE, "-t", table, "-S"]);
        Ok(self.run(command, "list the rules", "")?.lines().map(str::to_owned).collect())
    }

    /// Makes all changes to a table at one go, or none. `what` ends the sentence "iptables refused to …".
    pub(crate) fn change(&self, table: &str, what: &str, lines: &[String]) -> Result<(), CniError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut command = Command::new(&self.restore);
        command.args(["-w", PATIENCE, "--noflush"]);
        self.run(command, what, &format!("*{table}\n{}\nCOMMIT\n", lines.join("\n"))).map(drop)
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

    fn run(&self, mut command: Command, what: &str, input: &str) -> Result<String, CniError> {
        let name = self.family.tool();
        let broken = |error: io::Error| CniError::failed(format!("`{name}` cannot be run ({error})"));
        command.env_clear().env("PATH", tool::search_path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that ended early says why; that it did not read is no news.
            let _ = stdin.write_all(input.as_bytes());
        }
        let Some((status, said, complained)) = outcome(child, self.deadline).map_err(broken)? else {
            return Err(CniError::failed(format!("`{name}` did not end in time and was stopped")));
        };
        if status.success() {
            return Ok(said);
        }
        let complaint = complained.lines().next().unwrap_or("it gave no reason").trim();
        Err(CniError::failed(format!("`{name}` refused to {what}: {complaint}")))
    }
}

/// How the tool ended and what it wrote, or `None` after stopping one that did not end in time.
fn outcome(mut child: Child, deadline: Instant) -> io::Result<Option<(ExitStatus, String, String)>> {
    let (tell, told) = mpsc::channel();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // It ends by itself when the tool does, and with it the tool's ends of the pipes.
    std::thread::Builder::new().name("iptables".into()).spawn(move || {
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let _ = stdout.map(|mut pipe| pipe.read_to_end(&mut said));
        let _ = stderr.map(|mut pipe| pipe.read_to_end(&mut complained));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let _ = tell.send((text(said), text(complained)));
    })?;
    match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok((said, complained)) => Ok(Some((child.wait()?, said, complained))),
        Err(_) => {
            child.kill()?;
            child.wait().map(|_| None)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_hangs_is_stopped_at_the_deadline() {
        let mut command = Command::new("sleep");
        let child = command.arg("60").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        assert!(outcome(child, begin + std::time::Duration::from_millis(50)).unwrap().is_none());
        assert!(begin.elapsed().as_secs() < 10);
    }
}
