//! What a power cut leaves: the operations of the real code, replayed on a model of a disk that keeps only what was
//! fsynced, at every moment and in several ways of losing the rest.

use std::collections::BTreeMap;

use super::folder::{OPS, Op};
use super::{Ledger, Stage, State, codec, sample};

/// Ways to lose what was not synced.
#[derive(Clone, Copy, Debug)]
enum Loss {
    All,
    /// The length arrived, the content did not.
    Zeros,
    /// The last write arrived by half.
    Half,
    /// Only the last write arrived.
    LastOnly,
    Nothing,
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

impl Inode {
    fn after(&self, loss: Loss) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        for (n, (at, data)) in self.pending.iter().enumerate() {
            let zeros = vec![0; data.len()];
            let written: &[u8] = match loss {
                Loss::All => continue,
                Loss::LastOnly if n != last => continue,
                Loss::Zeros if *at as usize >= bytes.len() => &zeros,
                Loss::Zeros => continue,
                Loss::Half if n == last => &data[..data.len() / 2],
                _ => data,
            };
            let end = *at as usize + written.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*at as usize..end].copy_from_slice(written);
        }
        bytes
    }
}

type Names = BTreeMap<String, usize>;

/// Files and names after `ops`, with the name changes that no fsync of the folder covers yet.
fn play(ops: &[Op]) -> (Vec<Inode>, Vec<Names>) {
    let (mut inodes, mut names) = (Vec::<Inode>::new(), Names::new());
    let mut possible = vec![names.clone()];
    for op in ops {
        match op {
            Op::Create(name) => {
                inodes.push(Inode::default());
                names.insert(name.clone(), inodes.len() - 1);
            }
            Op::Write(name, at, data) => inodes[names[name]].pending.push((*at, data.clone())),
            Op::Sync(name) => {
                let inode = &mut inodes[names[name]];
                inode.durable = inode.after(Loss::Nothing);
                inode.pending.clear();
            }
            Op::Rename(from, to) => {
                let inode = names.remove(from).unwrap();
                names.insert(to.clone(), inode);
            }
            Op::Unlink(name) => drop(names.remove(name)),
            Op::SyncFolder => possible.clear(),
        }
        if possible.last() != Some(&names) {
            possible.push(names.clone());
        }
    }
    (inodes, possible)
}

/// The life of a sandbox, and after how many operations its plan was promised to be durable, and removed.
fn life() -> (Vec<Op>, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    OPS.with_borrow_mut(Vec::clear);
    let done = || OPS.with_borrow(Vec::len);
    let mut entry = sample::entry(3);
    let mut pen = ledger.write(&entry).unwrap();
    let promised = done();
    for n in 0..3 {
        entry.attachments[n].state = State::Attaching;
        pen.mark(&entry).unwrap();
        entry.attachments[n] = sample::complete(3).attachments[n].clone();
        pen.save(&entry).unwrap();
    }
    entry.stage = Stage::Complete;
    pen.save(&entry).unwrap();
    for n in (0..3).rev() {
        entry.stage = Stage::Deleting;
        entry.attachments[n].state = State::Detached;
        pen.mark(&entry).unwrap();
    }
    let before_removal = done();
    ledger.remove(&entry.container).unwrap();
    (OPS.with_borrow_mut(std::mem::take), promised, before_removal)
}

// Proves: F-DSK-5, P-DEL-2
#[test]
fn a_power_cut_leaves_no_entry_and_nothing_done_or_an_entry_that_can_undo_all() {
    let (ops, promised, before_removal) = life();
    assert!(promised >= 5 && before_removal > promised + 10, "{ops:?}");
    let mut cuts = 0;
    for cut in 0..=ops.len() {
        let (inodes, possible) = play(&ops[..cut]);
        for names in possible {
            for loss in [Loss::All, Loss::Zeros, Loss::Half, Loss::LastOnly, Loss::Nothing] {
                let must_be_there = cut >= promised && cut <= before_removal;
                after_boot(&inodes, &names, loss, must_be_there, cut);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 100);
}

fn after_boot(inodes: &[Inode], names: &Names, loss: Loss, must_be_there: bool, cut: usize) {
    let planned = sample::entry(3);
    let Some(file) = names.get(planned.container.as_str()) else {
        assert!(!must_be_there, "the entry is lost after operation {cut} ({loss:?})");
        return;
    };
    let read = codec::decode(&inodes[*file].after(loss));
    let entry = read.unwrap_or_else(|e| panic!("unusable after operation {cut} ({loss:?}): {e}")).entry;
    assert_eq!(entry.attachments.len(), 3);
    for (now, then) in entry.attachments.iter().zip(&planned.attachments) {
        assert_eq!(now.plugins, then.plugins, "after operation {cut} ({loss:?})");
    }
}
