//! Finds the processes that hold a `flock`, in `/proc`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

use super::Holder;
use crate::Uptime;

/// Those that have `file`, which is called `name`, open and locked. A process that only waits for it is none of them.
pub(super) fn holders_of(file: &File, name: &str) -> Vec<Holder> {
    let Ok(meta) = file.metadata() else { return Vec::new() };
    let this = (meta.dev(), meta.ino());
    let pids = numbers(Path::new("/proc"));
    pids.into_iter().filter_map(|pid| holder(pid, this, name)).collect()
}

/// The process as a holder, if it is one.
fn holder(pid: i32, file: (u64, u64), name: &str) -> Option<Holder> {
    let process = Path::new("/proc").join(pid.to_string());
    let descriptors = numbers(&process.join("fd"));
    let (descriptor, taken_by) = descriptors.into_iter().find_map(|descriptor| {
        let link = process.join("fd").join(descriptor.to_string());
        // By its name first: a look at a file of a server that is gone would not end.
        let target = fs::read_link(&link).ok()?;
        target.file_name()?.to_str()?.strip_prefix(name).filter(|rest| ["", " (deleted)"].contains(rest))?;
        let meta = fs::metadata(&link).ok()?;
        let info = fs::read_to_string(process.join("fdinfo").join(descriptor.to_string())).ok()?;
        ((meta.dev(), meta.ino()) == file).then_some(())?;
        Some((descriptor, locked_by(&info)?))
    })?;
    let stat = Stat::parse(&fs::read_to_string(process.join("stat")).ok()?)?;
    let Stat { name, group, session, started } = stat;
    Some(Holder { pid, name, group, session, started, taken_by, descriptor, file })
}

/// When the process was started.
pub(super) fn started(pid: i32) -> Option<Uptime> {
    Some(Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.started)
}

fn numbers(folder: &Path) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Who took the lock that the descriptor holds, by its `fdinfo`: `lock: 1: FLOCK  ADVISORY  WRITE 123 00:1a:42 0 EOF`.
fn locked_by(info: &str) -> Option<i32> {
    let mut locks = info.lines().filter_map(|line| line.strip_prefix("lock:"));
    locks.find_map(|lock| {
        let words: Vec<&str> = lock.split_whitespace().collect();
        (words.get(1) == Some(&"FLOCK")).then(|| words.get(4)?.parse().ok())?
    })
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    group: i32,
    session: i32,
    started: Uptime,
}

impl Stat {
    /// The name is in brackets and may have any characters in it.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split(' ').collect();
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        let each_second = sysconf(SysconfVar::CLK_TCK).ok()??;
        let started = Uptime(ticks.checked_div(u64::try_from(each_second).ok()?)?);
        let (group, session) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(Self { name: name.to_owned(), group, session, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_read() {
        let info = "pos:\t0\nflags:\t02100002\nmnt_id:\t29\nino:\t42\nlock:\t1: FLOCK  ADVISORY  WRITE 123 00:1a:42 0 EOF\n";
        assert_eq!(locked_by(info), Some(123));
        assert_eq!(locked_by("pos:\t0\nlock:\t1: OFDLCK ADVISORY  WRITE -1 00:1a:42 0 EOF\n"), None);
        assert_eq!(locked_by("pos:\t0\n"), None);
        let fields = "S 1 20 3 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4200 0 0";
        let stat = Stat::parse(&format!("123 (a) b (c)) {fields}\n")).unwrap();
        assert_eq!((stat.name.as_str(), stat.group, stat.session), ("a) b (c)", 20, 3));
        assert!(Stat::parse("123 (a) S 1").is_none());
    }

    // Shows part of: F-RUN-9
    #[test]
    fn who_holds_a_lock_is_told_from_who_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c1");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        let (holds, waits) = (open(), open());
        assert_eq!(holders_of(&waits, "c1"), []);
        holds.lock().unwrap();
        let all = holders_of(&waits, "c1");
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(all.iter().map(|holder| (holder.pid, holder.taken_by)).collect::<Vec<_>>(), [(me, me)]);
        assert!(Uptime::now().since(all[0].started) < 3600, "{all:?}");
    }
}
