//! Which statuses are late, and when each of them is tried. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use manifold_cni::ContainerId;
use manifold_crds::nad_status::Unpublished;
use manifold_crds::{Namespace, PodName};
use manifold_ledger::{Entry, Status, Unpublished as Reason};

/// Late for this long, people are told (F-API-10).
const TOLD: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(300);
/// Of one that was published again and is still said to be missing.
const AGAIN: Duration = Duration::from_secs(30);

/// A status to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    pub container: ContainerId,
    pub namespace: Namespace,
    pub name: PodName,
    pub uid: String,
    pub text: String,
    pub why: String,
    /// It comes from a file of the kubelet: the API server knows its mirror, which has another UID.
    pub is_static: bool,
    /// It was published, and the controller says that it is missing.
    pub again: bool,
}

impl Late {
    /// `None`: nothing is owed, or nobody could say of which pod.
    pub fn of(entry: &Entry, marked: &[Unpublished]) -> Option<Self> {
        let pod = entry.pod.as_ref()?;
        let uid = pod.uid.clone()?;
        let is_marked = marked.iter().any(|mark| mark.uid == uid);
        let (why, again) = match &entry.status {
            Status::Unpublished { why } => (why.clone(), false),
            Status::Published if is_marked => (Reason::Failed("the annotation was lost".to_owned()), true),
            Status::None if is_marked => (Reason::Failed("it was never published".to_owned()), true),
            _ => return None,
        };
        Some(Self {
            container: entry.container.clone(),
            namespace: pod.namespace.parse().ok()?,
            name: pod.name.parse().ok()?,
            text: entry.status_text.clone()?,
            is_static: why == Reason::StaticPod || !is_uuid(&uid),
            uid,
            why: why.to_string(),
            again,
        })
    }
}

/// The kubelet gives static pods a hash for a UID.
fn is_uuid(uid: &str) -> bool {
    uid.len() == 36 && uid.bytes().filter(|b| *b == b'-').count() == 4
}

/// When each of them is tried: at first at once, then after 1, 2, 4 … seconds, at most five minutes.
#[derive(Debug, Default)]
pub struct Book(HashMap<ContainerId, Tries>);

#[derive(Debug)]
struct Tries {
    since: Instant,
    count: u32,
    next: Instant,
    told: bool,
}

impl Book {
    /// Forgets those that are not late any more.
    pub fn keep(&mut self, late: &[Late], now: Instant) {
        self.0.retain(|id, _| late.iter().any(|one| one.container == *id));
        for one in late {
            let fresh = Tries { since: now, count: 0, next: now, told: false };
            self.0.entry(one.container.clone()).or_insert(fresh);
        }
    }

    /// Whom to publish now. Who was tried least comes first.
    pub fn due<'a>(&self, late: &'a [Late], now: Instant) -> Vec<&'a Late> {
        let tries = |one: &Late| self.0.get(&one.container);
        let mut due: Vec<&Late> =
            late.iter().filter(|one| tries(one).is_some_and(|t| t.next <= now)).collect();
        due.sort_by_key(|one| tries(one).map(|t| (t.count, t.next)));
        due
    }

    pub fn tried(&mut self, one: &Late, published: bool, now: Instant) {
        let Some(tries) = self.0.get_mut(&one.container) else { return };
        let wait = Duration::from_secs(1 << tries.count.min(10)).min(LONGEST);
        // It takes the controller a moment to see it.
        tries.next = now + if published { (AGAIN * (tries.count + 1)).min(LONGEST) } else { wait };
        tries.count = tries.count.saturating_add(1);
    }

    /// How long until the next try.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        self.0.values().map(|t| t.next.saturating_duration_since(now)).min()
    }

    /// Those to tell people of, each once.
    pub fn overdue<'a>(&mut self, late: &'a [Late], now: Instant) -> Vec<&'a Late> {
        let mut overdue = Vec::new();
        for one in late.iter().filter(|one| !one.again) {
            let Some(tries) = self.0.get_mut(&one.container) else { continue };
            if !tries.told && now.saturating_duration_since(tries.since) >= TOLD {
                tries.told = true;
                overdue.push(one);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str) -> Late {
        Late {
            container: id.parse().unwrap(),
            namespace: "shop".parse().unwrap(),
            name: "cart-7".parse().unwrap(),
            uid: "0f1e2d3c-0000-4000-8000-0123456789ab".into(),
            text: "[]".into(),
            why: "away".into(),
            is_static: false,
            again: false,
        }
    }

    #[test]
    fn what_fails_is_tried_at_a_pace_that_slows_down_and_told_once() {
        let (mut book, start, late) = (Book::default(), Instant::now(), [one("a")]);
        let (mut tried, mut told) = (Vec::new(), Vec::new());
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            book.keep(&late, now);
            for one in book.due(&late, now) {
                tried.push(second);
                book.tried(one, false, now);
            }
            told.extend(book.overdue(&late, now).iter().map(|_| second));
        }
        assert_eq!(tried, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]);
        assert_eq!(told, [60]);
        book.keep(&[], start);
        assert_eq!(book.next(start), None);
    }

    #[test]
    fn one_that_hangs_does_not_keep_others_waiting() {
        let (mut book, now) = (Book::default(), Instant::now());
        let late = [one("a"), one("b")];
        book.keep(&late, now);
        book.tried(&late[0], false, now);
        let later = now + Duration::from_secs(2);
        let due: Vec<String> = book.due(&late, later).iter().map(|l| l.container.to_string()).collect();
        assert_eq!(due, ["b", "a"]);
    }

    #[test]
    fn a_uid_of_a_static_pod_is_a_hash() {
        assert!(is_uuid("0f1e2d3c-0000-4000-8000-0123456789ab"));
        assert!(!is_uuid("0c7ff6ff1b2c5b3f1c0a9d8e7f6a5b4c"));
    }
}
