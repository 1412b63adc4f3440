use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;
use crate::{Status, Uptime, sample};

fn fresh() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("manifold")).unwrap();
    (dir, ledger)
}

fn id() -> ContainerId {
    sample::entry(0).container
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_entry_is_there_until_it_is_removed() {
    let (_dir, ledger) = fresh();
    assert!(ledger.read(&id()).unwrap().is_none());
    ledger.write(&sample::complete(3)).unwrap();
    assert_eq!(ledger.read(&id()).unwrap().unwrap(), sample::complete(3));
    ledger.remove(&id()).unwrap();
    ledger.remove(&id()).unwrap();
    assert!(ledger.read(&id()).unwrap().is_none());
}

// Proves: F-POD-5, P-DEL-10
#[test]
fn two_sandboxes_of_one_pod_share_nothing() {
    let (_dir, ledger) = fresh();
    let mut second = sample::complete(2);
    second.container = "retried".parse().unwrap();
    ledger.write(&sample::entry(1)).unwrap();
    ledger.write(&second).unwrap();
    let _lock = ledger.lock(&id(), std::time::Instant::now()).unwrap();
    assert!(ledger.lock(&second.container, std::time::Instant::now()).is_ok());
    ledger.remove(&id()).unwrap();
    assert_eq!(ledger.read(&second.container).unwrap().unwrap(), second);
}

// Proves: S-3
#[test]
fn only_root_can_read_what_the_ledger_keeps() {
    let (dir, ledger) = fresh();
    let lock = ledger.lock(&id(), std::time::Instant::now()).unwrap();
    ledger.write(&sample::entry(1)).unwrap();
    let root = dir.path().join("manifold");
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join(id().as_str())), 0o600);
    assert_eq!(mode(&root.join(".locks")), 0o700);
    assert_eq!(mode(&root.join(".locks").join(id().as_str())), 0o600);
    drop(lock);
}

// Proves: S-3
#[test]
fn a_state_folder_that_others_could_read_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    Ledger::open(dir.path()).unwrap();
    assert_eq!(mode(dir.path()), 0o700);
}

// Proves: S-18
#[test]
fn a_state_folder_that_is_a_link_or_another_users_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    symlink(&real, dir.path().join("link")).unwrap();
    assert!(Ledger::open(&dir.path().join("link")).is_err());
    chown(&real, Some(12345), None).unwrap();
    assert!(Ledger::open(&real).is_err());
}

// Proves: F-DSK-6
#[test]
fn a_deleted_folder_is_made_anew_by_add_and_means_no_entry_for_del() {
    let (dir, ledger) = fresh();
    let root = dir.path().join("manifold");
    ledger.write(&sample::entry(1)).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert!(Ledger::open_existing(&root).unwrap().is_none());
    let anew = Ledger::open(&root).unwrap();
    assert!(anew.read(&id()).unwrap().is_none());
    anew.write(&sample::entry(1)).unwrap();
}

#[test]
fn results_and_states_written_later_come_back() {
    let (_dir, ledger) = fresh();
    let mut entry = sample::entry(2);
    let mut pen = ledger.write(&entry).unwrap();
    let done = sample::complete(2);
    for n in 0..2 {
        entry.attachments[n] = done.attachments[n].clone();
        pen.save(&entry).unwrap();
        assert_eq!(ledger.read(&id()).unwrap().unwrap(), entry);
    }
    entry.status = done.status.clone();
    entry.status_text = done.status_text.clone();
    entry.stage = done.stage;
    pen.save(&entry).unwrap();
    let mut opened = ledger.open_entry(&id()).unwrap().unwrap();
    assert_eq!((opened.entry, opened.flaws), (done.clone(), vec![]));
    entry.answered = Some(Uptime(7));
    opened.pen.save(&entry).unwrap();
    assert_eq!(ledger.read(&id()).unwrap().unwrap().answered, Some(Uptime(7)));
    assert_eq!(codec::decode(&codec::encode(&entry).unwrap()).unwrap().entry, entry);
    entry.status = Status::Published;
    opened.pen.mark(&entry).unwrap();
    assert_eq!(ledger.read(&id()).unwrap().unwrap().status, Status::Published);
}

#[test]
fn saving_what_the_file_says_already_makes_it_no_longer() {
    let (dir, ledger) = fresh();
    let entry = sample::complete(2);
    let mut pen = ledger.write(&entry).unwrap();
    let path = dir.path().join("manifold").join(id().as_str());
    let length = std::fs::metadata(&path).unwrap().len();
    pen.save(&entry).unwrap();
    ledger.open_entry(&id()).unwrap().unwrap().pen.save(&entry).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
}

#[test]
fn what_a_killed_writer_left_at_the_end_does_not_hide_later_results() {
    let (dir, ledger) = fresh();
    ledger.write(&sample::entry(1)).unwrap();
    let path = dir.path().join("manifold").join(id().as_str());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"0123abcd 00004711 late\n{\"res");
    std::fs::write(&path, bytes).unwrap();
    let mut opened = ledger.open_entry(&id()).unwrap().unwrap();
    assert_eq!(opened.flaws, [Flaw::Late]);
    opened.entry.attachments[0].result = sample::complete(1).attachments[0].result.clone();
    opened.pen.save(&opened.entry).unwrap();
    let read = ledger.open_entry(&id()).unwrap().unwrap();
    assert_eq!((read.entry, read.flaws), (opened.entry, vec![]));
}

#[test]
fn an_entry_that_cannot_get_its_name_leaves_nothing() {
    let (dir, ledger) = fresh();
    let root = dir.path().join("manifold");
    std::fs::create_dir(root.join(id().as_str())).unwrap();
    assert!(ledger.write(&sample::entry(1)).is_err());
    let left: Vec<_> = std::fs::read_dir(&root).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, [id().as_str()]);
}

// Proves: F-DSK-3
#[test]
fn a_damaged_entry_is_set_aside_and_stays_an_error_until_it_is_parked() {
    let (dir, ledger) = fresh();
    let path = dir.path().join("manifold").join(id().as_str());
    for content in ["", "null", "[]", "manifold-ledger 1 x\n"] {
        std::fs::write(&path, content).unwrap();
        let error = ledger.read(&id()).unwrap_err();
        assert!(!path.exists(), "{content:?} is set aside");
        assert_eq!(std::fs::read_to_string(error.aside.unwrap()).unwrap(), content, "as it was found");
        let again = ledger.read(&id()).unwrap_err();
        assert_eq!(again.fault, Fault::SetAside, "a second DEL hears of it too");
        ledger.forget_damaged(&id()).unwrap();
        assert!(ledger.read(&id()).unwrap().is_none());
    }
    std::fs::write(&path, "x").unwrap();
    assert!(ledger.read(&id()).is_err());
    for (count, at) in [(1, 100), (2, 400), (3, 700)] {
        let failures = ledger.note_damaged_failure(&id(), Uptime(at)).unwrap();
        assert_eq!((failures.count, failures.first), (count, Uptime(100)));
        assert_eq!(ledger.read(&id()).unwrap_err().failures, Some(failures));
        assert_eq!(failures.is_parked(Uptime(at)), count == 3);
    }
    assert_eq!(ledger.damaged().len(), 1);
}

/// A whole entry of a release whose plan has something that this one does not know.
fn not_understood() -> Vec<u8> {
    let text = String::from_utf8(codec::encode(&sample::entry(1)).unwrap()).unwrap();
    let (head, plan) = text.split_once(" plan\n").unwrap();
    let plan = plan.trim_end().replace("\"bundled\"", "\"elsewhere\"");
    let first = head.lines().next().unwrap();
    let sum = crc32fast::hash(format!("plan{plan}").as_bytes());
    format!("{first}\n{sum:08x} {:08} plan\n{plan}\n", plan.len()).into_bytes()
}

// Proves: F-NOD-3
#[test]
fn an_entry_of_a_newer_release_stays_where_it_is_and_is_refused_with_a_sentence() {
    let (dir, ledger) = fresh();
    let path = dir.path().join("manifold").join(id().as_str());
    for content in [b"manifold-ledger 2 of the newer release\n".to_vec(), not_understood()] {
        std::fs::write(&path, &content).unwrap();
        for count in 1..4 {
            let error = ledger.read(&id()).unwrap_err();
            assert_eq!(error.aside, None);
            let failures = ledger.note_damaged_failure(&id(), Uptime(count)).unwrap();
            assert_eq!(u64::from(failures.count), count, "so that it can be parked");
            let told = manifold_cni::CniError::from(error);
            assert_eq!(told.code, manifold_cni::code::FAILED, "{told}");
            assert!(told.msg.contains("go back to the") && told.details.contains("kept as it is"), "{told}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(ledger.entries().unwrap(), [id()]);
        // The newer release is back: played by bytes that this one can read.
        std::fs::write(&path, codec::encode(&sample::entry(2)).unwrap()).unwrap();
        assert_eq!(ledger.read(&id()).unwrap().unwrap(), sample::entry(2));
        ledger.remove(&id()).unwrap();
        assert!(ledger.damaged().is_empty() && ledger.read(&id()).unwrap().is_none());
    }
}

// Proves: F-NOD-3
#[test]
fn an_entry_that_an_older_release_set_aside_is_taken_back_by_the_newer() {
    let (dir, ledger) = fresh();
    let root = dir.path().join("manifold");
    let path = root.join(id().as_str());
    std::fs::write(&path, "damaged").unwrap();
    let error = ledger.read(&id()).unwrap_err();
    std::fs::write(error.aside.unwrap(), codec::encode(&sample::entry(2)).unwrap()).unwrap();
    assert_eq!(ledger.read(&id()).unwrap().unwrap(), sample::entry(2));
    assert!(path.exists() && ledger.damaged().is_empty());
}

// Proves: F-DSK-7
#[test]
fn a_count_of_failures_ends_with_the_entry_and_says_nothing_of_what_was_done() {
    let (_dir, ledger) = fresh();
    ledger.write(&sample::entry(1)).unwrap();
    // The system did not let DEL read the entry, and now it does.
    ledger.note_damaged_failure(&id(), Uptime(5)).unwrap();
    assert_eq!(ledger.read(&id()).unwrap().unwrap(), sample::entry(1));
    ledger.remove(&id()).unwrap();
    assert!(ledger.read(&id()).unwrap().is_none(), "a second DEL has nothing to do");
    assert!(ledger.damaged().is_empty());
    // As earlier releases left them.
    ledger.note_damaged_failure(&id(), Uptime(5)).unwrap();
    assert!(ledger.read(&id()).unwrap().is_none());
    ledger.write(&sample::entry(1)).unwrap();
}

// Proves: F-DSK-9
#[test]
fn what_no_reader_would_take_is_not_written() {
    let (_dir, ledger) = fresh();
    let mut entry = sample::entry(2);
    let mut pen = ledger.write(&entry).unwrap();
    // A JSON string of quotes is twice as long as what it says.
    let most = usize::try_from(MAX_BYTES / 2).unwrap();
    entry.attachments[0].result = Some(crate::Exact::from(vec![b'"'; most - 8192]));
    pen.save(&entry).unwrap();
    let readable = ledger.read(&id()).unwrap().unwrap();
    entry.attachments[1].result = Some(crate::Exact::from(vec![b'"'; 8192]));
    let error = manifold_cni::CniError::from(pen.save(&entry).unwrap_err());
    assert_eq!(error.code, manifold_cni::code::INVALID_CONFIG, "{error}");
    assert!(error.details.contains("shorter results"), "{error}");
    let mut opened = ledger.open_entry(&id()).unwrap().unwrap();
    assert_eq!((opened.entry.owing().count(), opened.flaws.len()), (2, 0));
    assert_eq!(opened.entry.attachments[0].result, readable.attachments[0].result);
    opened.pen.mark(&opened.entry).unwrap();
    entry.attachments[0].plugins[0].config = crate::Exact::from(vec![b'"'; most]);
    assert!(ledger.write(&entry).is_err());
}

// Proves: F-DSK-9
#[test]
fn the_longest_id_has_room_for_its_marks_and_a_longer_one_is_not_written() {
    let (_dir, ledger) = fresh();
    let mut entry = sample::entry(1);
    entry.container = "a".repeat(MOST_ID_BYTES).parse().unwrap();
    ledger.write(&entry).unwrap();
    let longest = Uptime(u64::MAX);
    ledger.note_damaged_failure(&entry.container, longest).unwrap();
    let name = ledger.damaged()[0].clone();
    let widest = crate::Damaged {
        number: u32::MAX,
        failures: Some(crate::Failures { count: u32::MAX, first: longest, last: longest }),
        ..name
    };
    assert!(widest.name().len() <= 255, "{}", widest.name().len());
    entry.container = "a".repeat(MOST_ID_BYTES + 1).parse().unwrap();
    assert!(ledger.write(&entry).is_err());
    assert!(ledger.read(&entry.container).unwrap().is_none());
}

// Proves: F-DSK-10
#[test]
fn a_temporary_file_of_a_killed_process_with_our_number_is_no_hindrance() {
    let (dir, ledger) = fresh();
    std::fs::write(dir.path().join("manifold/.new-x-1-0"), "half").unwrap();
    ledger.written(".new-x-1-0", b"whole").unwrap();
    assert_eq!(std::fs::read(dir.path().join("manifold/.new-x-1-0")).unwrap(), b"whole");
}

// Proves: S-18
#[test]
fn an_entry_under_another_containers_name_is_refused() {
    let (dir, ledger) = fresh();
    ledger.write(&sample::entry(1)).unwrap();
    let root = dir.path().join("manifold");
    std::fs::rename(root.join(id().as_str()), root.join("other")).unwrap();
    let error = ledger.read(&"other".parse().unwrap()).unwrap_err();
    assert_eq!(error.fault, Fault::WrongName(id().to_string()));
}

/// Plants something under the container's name and looks that it is refused, untouched and listed.
#[track_caller]
fn alien(plant: impl Fn(&Path)) {
    let (dir, ledger) = fresh();
    let path = dir.path().join("manifold").join(id().as_str());
    plant(&path);
    let before = std::fs::symlink_metadata(&path).unwrap();
    for _ in 0..2 {
        let error = ledger.read(&id()).unwrap_err();
        assert!(matches!(error.fault, Fault::Alien(_)), "{:?}", error.fault);
        assert_eq!(error.aside, None);
        let after = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.modified().unwrap(), before.len()), (after.modified().unwrap(), after.len()));
    }
    let listing = ledger.list().unwrap();
    assert_eq!((listing.entries.len(), listing.aliens.len()), (0, 1));
    assert!(ledger.reports(&listing.aliens[0]), "reported");
    assert!(!ledger.reports(&listing.aliens[0]), "once");
    let failures = ledger.note_damaged_failure(&id(), Uptime(9)).unwrap();
    assert_eq!(ledger.read(&id()).unwrap_err().failures, Some(failures), "counted, so that it can be parked");
}

// Proves: F-DSK-4, S-18
#[test]
fn what_is_not_ours_is_neither_followed_nor_deleted_and_is_reported_once() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), codec::encode(&sample::entry(1)).unwrap()).unwrap();
    alien(|path| symlink(outside.path(), path).unwrap());
    alien(|path| symlink("/nonexistent", path).unwrap());
    alien(|path| std::fs::create_dir(path).unwrap());
    alien(|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
    let whole = || codec::encode(&sample::entry(1)).unwrap();
    alien(|path| {
        std::fs::write(path, whole()).unwrap();
        chown(path, Some(12345), None).unwrap();
    });
    alien(|path| {
        std::fs::write(path, whole()).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    });
}

// Proves: F-DSK-4
#[test]
fn names_that_are_no_container_ids_are_aliens_and_our_own_are_not() {
    let (dir, ledger) = fresh();
    let root = dir.path().join("manifold");
    ledger.write(&sample::entry(1)).unwrap();
    for name in ["-x", "a b", "ü"] {
        std::fs::write(root.join(name), "").unwrap();
    }
    std::fs::create_dir(root.join("credentials")).unwrap();
    std::fs::write(root.join(".idle"), "").unwrap();
    let listing = ledger.list().unwrap();
    assert_eq!(listing.entries, [id()]);
    assert_eq!(listing.aliens.len(), 3);
    assert_eq!(ledger.entries().unwrap(), [id()]);
}
