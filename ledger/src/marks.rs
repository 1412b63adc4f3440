//! The first line of an entry: the states that change after the plan is on disk.
//!
//! It has a fixed length for a given number of attachments and is overwritten in place, so DEL needs no new space
//! (F-DSK-2), and it lies in the file's first sector, apart from the plan. A line that was torn or flipped costs the
//! states only: then every attachment counts as attached and gets its DEL.

use super::{Entry, Failures, Stage, State, Status, Unpublished, Uptime};

/// Also names the format, so that a file of a newer release says so in its first bytes.
pub(super) const MAGIC: &str = "manifold-ledger ";

/// The states as one line, with its line feed.
pub(super) fn line(entry: &Entry, format: u32) -> Vec<u8> {
    let failures = entry.failures.unwrap_or(Failures { count: 0, first: Uptime(0), last: Uptime(0) });
    let body = format!(
        "{}{} {:010} {:012} {:012} {:012} {}",
        stage_char(entry.stage),
        status_char(&entry.status),
        failures.count,
        capped(failures.first),
        capped(failures.last),
        entry.netns_gone.map_or(0, |t| capped(t).max(1)),
        entry.attachments.iter().map(|a| state_char(a.state)).collect::<String>(),
    );
    format!("{MAGIC}{format} {:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes()
}

/// Twelve digits: thirty thousand years.
fn capped(t: Uptime) -> u64 {
    t.0.min(999_999_999_999)
}

/// Sets the states of `entry` from the line (without magic, format and line feed). False: the line is damaged, and
/// nothing was set.
pub(super) fn apply(line: &str, entry: &mut Entry) -> bool {
    let Some(read) = parse(line, entry.attachments.len()) else { return false };
    entry.stage = read.stage;
    entry.failures = read.failures;
    entry.netns_gone = read.netns_gone;
    // The reason of "unpublished" stands in the late part; the mark only tells which of the four it is.
    entry.status = match (read.status, &entry.status) {
        ('u', Status::Unpublished { why }) => Status::Unpublished { why: why.clone() },
        ('u', _) => Status::Unpublished { why: Unpublished::Failed(String::new()) },
        ('p', _) => Status::Published,
        ('s', _) => Status::Superseded,
        _ => Status::None,
    };
    for (attachment, state) in entry.attachments.iter_mut().zip(read.states) {
        attachment.state = state;
    }
    true
}

struct Read {
    stage: Stage,
    status: char,
    failures: Option<Failures>,
    netns_gone: Option<Uptime>,
    states: Vec<State>,
}

fn parse(line: &str, attachments: usize) -> Option<Read> {
    let (crc, body) = line.split_once(' ')?;
    if crc.len() != 8 || u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let fields: Vec<&str> = body.split(' ').collect();
    let [letters, count, first, last, gone, states] = fields.as_slice() else { return None };
    let mut letters = letters.chars();
    let stage = stage_of(letters.next()?)?;
    let status = letters.next()?;
    let (count, first, last) = (count.parse().ok()?, first.parse().ok()?, last.parse().ok()?);
    let failures = (count > 0).then_some(Failures { count, first: Uptime(first), last: Uptime(last) });
    let gone: u64 = gone.parse().ok()?;
    let states = states.chars().map(state_of).collect::<Option<Vec<_>>>()?;
    let whole = states.len() == attachments;
    whole.then_some(Read { stage, status, failures, netns_gone: (gone > 0).then_some(Uptime(gone)), states })
}

fn stage_char(stage: Stage) -> char {
    match stage {
        Stage::Adding => 'a',
        Stage::Complete => 'c',
        Stage::Deleting => 'd',
    }
}

fn stage_of(c: char) -> Option<Stage> {
    [Stage::Adding, Stage::Complete, Stage::Deleting].into_iter().find(|s| stage_char(*s) == c)
}

fn status_char(status: &Status) -> char {
    match status {
        Status::None => 'n',
        Status::Unpublished { .. } => 'u',
        Status::Published => 'p',
        Status::Superseded => 's',
    }
}

fn state_char(state: State) -> char {
    match state {
        State::Planned => 'p',
        State::Attaching => 'a',
        State::Attached => 'A',
        State::Detaching => 'd',
        State::Detached => 'D',
    }
}

fn state_of(c: char) -> Option<State> {
    use State::{Attached, Attaching, Detached, Detaching, Planned};
    [Planned, Attaching, Attached, Detaching, Detached].into_iter().find(|s| state_char(*s) == c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_line_keeps_its_length_whatever_the_states_are() {
        let mut entry = sample::entry(3);
        let planned = line(&entry, 1).len();
        entry.stage = Stage::Deleting;
        entry.failures = Some(Failures { count: u32::MAX, first: Uptime(u64::MAX), last: Uptime(7) });
        entry.netns_gone = Some(Uptime(0));
        for (a, s) in entry.attachments.iter_mut().zip([State::Attached, State::Detaching, State::Detached]) {
            a.state = s;
        }
        assert_eq!(line(&entry, 1).len(), planned);
    }

    #[test]
    fn a_line_for_another_number_of_attachments_is_damage() {
        let two = String::from_utf8(line(&sample::entry(2), 1)).unwrap();
        let body = two.trim_end().strip_prefix("manifold-ledger 1 ").unwrap();
        assert!(apply(body, &mut sample::entry(2)));
        assert!(!apply(body, &mut sample::entry(3)));
    }
}
