//! The ledger's files: an entry, and a line of the spool.

use manifold_ledger::spool::outcome::{self, Line};
use manifold_ledger::{Entry, codec};

use super::text;
use crate::Answer;

/// An entry's file; or, beginning with `{`, the plan in it, whose checksum no fuzzer would find.
pub(super) fn entry(input: &[u8]) -> Answer {
    if input.first() == Some(&b'{') {
        return match serde_json::from_slice::<Entry>(input) {
            Ok(entry) => decoded(&codec::encode(&entry).expect("an entry can be written")),
            Err(why) => Answer::refused(manifold_cni::json::BadJson::from(why)),
        };
    }
    decoded(input)
}

fn decoded(bytes: &[u8]) -> Answer {
    match codec::decode(bytes) {
        Err(fault) => Answer::refused(fault),
        Ok(decoded) => {
            assert!(decoded.end <= bytes.len());
            comes_back(&decoded.entry);
            let of = &decoded.entry;
            let flaws: String = decoded.flaws.iter().map(|flaw| format!("\nflaw: {flaw}")).collect();
            let states: Vec<String> =
                of.attachments.iter().map(|a| format!("{} {:?}", a.display, a.state)).collect();
            Answer::Accepted(format!("{} {:?}: {}{flaws}", of.container, of.stage, states.join(", ")))
        }
    }
}

/// Written and read again it is the same. Changed at one place it is a fault, or the plan is untouched.
fn comes_back(entry: &Entry) {
    let written = codec::encode(entry).expect("an entry can be written");
    let again = codec::decode(&written).unwrap_or_else(|fault| panic!("{fault}: {}", text(&written)));
    assert_eq!(again.flaws, [], "{}", text(&written));
    assert_eq!(again.entry, *entry);
    let at = written.iter().map(|byte| usize::from(*byte)).sum::<usize>() % written.len().max(1);
    let mut changed = written;
    changed.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
    if let Ok(found) = codec::decode(&changed) {
        let plan = |entry: &Entry| serde_json::to_vec(entry).expect("an entry is JSON");
        assert_eq!(plan(&found.entry), plan(entry), "changed at {at}");
    }
}

/// A line of the spool.
pub(super) fn outcome(input: &[u8]) -> Answer {
    match outcome::parse(input) {
        None => Answer::refused("it is no outcome; it is dropped and counted"),
        Some(Line::Dropped { dropped }) => Answer::Accepted(format!("{dropped} dropped")),
        Some(Line::Outcome(outcome)) => {
            let line = outcome::print(&outcome);
            let body = line.strip_suffix(b"\n").expect("a line ends");
            assert!(!body.contains(&b'\n') && line.len() <= 64 << 10, "{} bytes", line.len());
            let Some(Line::Outcome(again)) = outcome::parse(body) else {
                panic!("what was printed cannot be read: {}", text(body));
            };
            assert_eq!(outcome::parse(&outcome::print(&again)), Some(Line::Outcome(again)));
            Answer::Accepted(text(body).into_owned())
        }
    }
}
