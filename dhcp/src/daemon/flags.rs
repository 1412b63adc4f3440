//! The flags of the daemon, under the names and with the defaults of the reference's (PLG-DHCP-4).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::acquire::Patience;

pub const USAGE: &str = "\
usage: manifold dhcp daemon [flags]
  -pidfile PATH          write the process id there (absolute)
  -hostprefix PATH       put before the paths of the socket and of network namespaces
  -socketpath PATH       where to listen (/run/cni/dhcp.sock)
  -statedir PATH         where leases are kept over a restart (/var/lib/cni/dhcp)
  -broadcast             ask servers to answer by broadcast
  -timeout DURATION      wait for one answer (10s)
  -resendmax DURATION    longest pause between two tries (62s)
  -resendtimeout DURATION  end of all tries (208s)";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    pub pid_file: Option<PathBuf>,
    pub host_prefix: Option<PathBuf>,
    socket_path: PathBuf,
    pub state_dir: PathBuf,
    pub patience: Patience,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            pid_file: None,
            host_prefix: None,
            socket_path: "/run/cni/dhcp.sock".into(),
            state_dir: "/var/lib/cni/dhcp".into(),
            patience: Patience::default(),
        }
    }
}

impl Flags {
    /// `-flag value`, `-flag=value`, with one dash or two.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let bare = bare.ok_or_else(|| format!("`{word}` is not a flag\n{USAGE}"))?;
            let (name, inline) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            if name == "broadcast" {
                flags.patience.broadcast = inline.is_none_or(|value| value == "true" || value == "1");
                continue;
            }
            let value =
                inline.or_else(|| words.next()).ok_or_else(|| format!("`-{name}` needs a value\n{USAGE}"))?;
            flags.set(name, &value)?;
        }
        Ok(flags)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "pidfile" => self.pid_file = Some(value.into()),
            "hostprefix" => {
                self.host_prefix = Some(value.into()).filter(|p: &PathBuf| !p.as_os_str().is_empty());
            }
            "socketpath" => self.socket_path = value.into(),
            "statedir" => self.state_dir = value.into(),
            "timeout" => self.patience.answer = duration(name, value)?,
            "resendmax" => self.patience.resend_most = duration(name, value)?,
            "resendtimeout" => self.patience.resend_until = duration(name, value)?,
            _ => return Err(format!("there is no flag `-{name}`\n{USAGE}")),
        }
        Ok(())
    }

    /// Where to listen, behind the prefix.
    pub fn socket(&self) -> PathBuf {
        behind(self.host_prefix.as_deref(), &self.socket_path)
    }
}

/// A path of the host as the daemon sees it.
pub(super) fn behind(prefix: Option<&Path>, path: &Path) -> PathBuf {
    match prefix {
        None => path.to_owned(),
        Some(prefix) => prefix.join(path.strip_prefix("/").unwrap_or(path)),
    }
}

/// Numbers with units, one after another: `10s`, `1m30s`, `500ms`.
fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let wrong = || format!("`-{name} {text}` is not a duration; write it like `10s`, `1m30s` or `500ms`");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        sum += match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "h" => Duration::from_secs(number.saturating_mul(3600)),
            _ => return Err(wrong()),
        };
        rest = after;
    }
    if sum.is_zero() { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Flags, String> {
        Flags::parse(words.split_whitespace().map(str::to_owned))
    }

    // Shows part of: PLG-DHCP-4
    #[test]
    fn flags_are_those_of_the_reference_with_its_defaults() {
        let none = parse("").unwrap();
        assert_eq!(none, Flags::default());
        assert_eq!(none.patience.answer, Duration::from_secs(10));
        assert_eq!(none.patience.resend_most, Duration::from_secs(62));
        assert_eq!(none.patience.resend_until, Duration::from_secs(208));
        let all = parse(
            "-pidfile /p -hostprefix /host --socketpath=/s -broadcast -timeout 500ms -resendmax=1m2s -resendtimeout 2h",
        )
        .unwrap();
        assert_eq!(all.socket(), Path::new("/host/s"));
        assert_eq!(all.pid_file.as_deref(), Some(Path::new("/p")));
        assert!(all.patience.broadcast);
        let times = [all.patience.answer, all.patience.resend_most, all.patience.resend_until];
        assert_eq!(times.map(|t| t.as_millis()), [500, 62_000, 7_200_000]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (words, part) in [
            ("-colour red", "no flag `-colour`"),
            ("daemon", "is not a flag"),
            ("-timeout", "needs a value"),
            ("-timeout 10", "is not a duration"),
            ("-timeout 0s", "is not a duration"),
            ("-timeout 99999999999999999999s", "is not a duration"),
        ] {
            let told = parse(words).unwrap_err();
            assert!(told.contains(part), "{words}: {told}");
        }
    }
}
