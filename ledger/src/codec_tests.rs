use proptest::prelude::*;

use super::*;
use crate::{Failures, State, Uptime, sample};

/// Ten entries as they may lie on a disk: every stage, with and without results.
fn ten() -> Vec<Entry> {
    let mut all: Vec<Entry> = (0..4).map(sample::entry).chain((1..4).map(sample::complete)).collect();
    let mut failing = sample::complete(2);
    failing.stage = Stage::Deleting;
    failing.failures = Some(Failures { count: 2, first: Uptime(10), last: Uptime(99) });
    failing.attachments[1].state = State::Detached;
    failing.attachments[0].state = State::Detaching;
    all.push(failing);
    let mut published = sample::complete(1);
    published.status = Status::Published;
    published.netns_gone = Some(Uptime(5));
    all.push(published);
    let mut bare = sample::entry(1);
    (bare.pod, bare.netns) = (None, None);
    bare.attachments[0].plugins[0].config = Exact::from(&[0xff, 0x00, 0x0a][..]);
    all.push(bare);
    assert_eq!(all.len(), 10);
    all
}

/// Whatever was done to the bytes: no usable plan, or the very plan, with no DEL forgotten.
#[track_caller]
fn never_nothing_to_do(original: &Entry, bytes: &[u8], what: &str) {
    let Ok(read) = decode(bytes) else { return };
    assert_eq!(read.entry.attachments.len(), original.attachments.len(), "{what}");
    for (now, then) in read.entry.attachments.iter().zip(&original.attachments) {
        assert_eq!(
            (&now.plugins, &now.ifname, &now.args_del),
            (&then.plugins, &then.ifname, &then.args_del),
            "{what}"
        );
        assert!(now.owes_del() || !then.owes_del(), "{what}");
    }
}

// Proves: F-DSK-3, P-DEL-2
#[test]
fn an_entry_cut_at_any_byte_is_never_nothing_to_do() {
    for entry in ten() {
        let whole = encode(&entry).unwrap();
        for cut in 0..whole.len() {
            never_nothing_to_do(&entry, &whole[..cut], &format!("cut at {cut}"));
        }
    }
}

// Proves: F-DSK-3
#[test]
fn an_entry_with_flipped_bits_at_any_byte_is_never_nothing_to_do() {
    for entry in ten() {
        let whole = encode(&entry).unwrap();
        for at in 0..whole.len() {
            for mask in [1 << (at % 8), 0x20, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                never_nothing_to_do(&entry, &bytes, &format!("byte {at} ^ {mask:#x}"));
                let same = decode(&bytes).is_ok_and(|d| d.flaws.is_empty() && d.entry == entry);
                // Case of a hexadecimal digit is the one change without a meaning.
                assert!(
                    !same || (mask == 0x20 && whole[at].is_ascii_alphabetic()),
                    "byte {at} ^ {mask:#x} was not seen"
                );
            }
        }
    }
}

#[track_caller]
fn is_fault(bytes: &[u8], expected: &Fault) {
    assert_eq!(&decode(bytes).unwrap_err(), expected);
}

// Proves: F-DSK-3, F-NOD-3
#[test]
fn each_kind_of_damage_is_told_apart() {
    let whole = encode(&sample::entry(1)).unwrap();
    is_fault(b"", &Fault::Empty);
    is_fault(b"null", &Fault::NotAnEntry);
    is_fault(b"[]", &Fault::NotAnEntry);
    is_fault(b"{}", &Fault::NotAnEntry);
    is_fault(&[0; 4096], &Fault::NotAnEntry);
    is_fault(&whole[..9], &Fault::Torn { at: 9 });
    is_fault(&whole[..200], &Fault::Torn { at: 200 });
    is_fault(b"manifold-ledger 2 whatever the next release writes\n", &Fault::Future(2));
    is_fault(b"manifold-ledger 0 x\n", &Fault::NotAnEntry);
    is_fault(b"manifold-ledger 99999999999 x\n", &Fault::NotAnEntry);
    let mut changed = whole.clone();
    changed[150] ^= 1;
    is_fault(&changed, &Fault::Changed);
}

// Proves: F-DSK-3
#[test]
fn a_plan_with_a_right_checksum_and_foreign_content_is_refused() {
    for json in ["null", "[]", "{}", "1", "\"x\""] {
        let mut bytes = marks::line(&sample::entry(0), FORMAT);
        bytes.extend(record("plan", json.as_bytes()));
        assert!(matches!(decode(&bytes), Err(Fault::NotUnderstood(_))), "{json}");
    }
}

// Proves: F-DSK-5
#[test]
fn lost_states_count_everything_as_attached() {
    let mut entry = sample::complete(2);
    entry.attachments[0].state = State::Detached;
    let mut bytes = encode(&entry).unwrap();
    bytes[20] ^= 1;
    let read = decode(&bytes).unwrap();
    assert_eq!(read.flaws, [Flaw::States]);
    assert!(read.entry.attachments.iter().all(|a| a.state == State::Attached));
    assert_eq!(read.entry.attachments[0].result, entry.attachments[0].result);
}

#[test]
fn a_torn_tail_costs_the_last_result_only() {
    let entry = sample::complete(2);
    let whole = encode(&entry).unwrap();
    let read = decode(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(read.flaws, [Flaw::Late]);
    assert_eq!(read.entry.attachments, entry.attachments);
    assert!(read.end < whole.len());
}

#[test]
fn a_late_record_of_another_release_is_passed_over() {
    let mut bytes = encode(&sample::complete(1)).unwrap();
    bytes.extend(record("late", br#"{"telemetry":{"x":1}}"#));
    bytes.extend(late(&Late::Result { of: 7, bytes: None }).unwrap());
    let read = decode(&bytes).unwrap();
    assert_eq!((read.entry, read.flaws), (sample::complete(1), vec![]));
}

// Proves: F-NOD-3, P-DEL-6
#[test]
fn entries_that_earlier_releases_wrote_are_read() {
    let golden = |name: &str| {
        let path = format!("{}/tests/golden/{name}.entry", env!("CARGO_MANIFEST_DIR"));
        let read = decode(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(read.flaws, [], "{path}");
        read.entry
    };
    // They did not say which files were executed.
    let earlier = |mut entry: Entry| {
        let plugins = entry.attachments.iter_mut().flat_map(|attachment| &mut attachment.plugins);
        plugins.for_each(|plugin| plugin.executables.clear());
        entry
    };
    assert_eq!(golden("v1-planned"), earlier(sample::entry(2)));
    assert_eq!(golden("v1-complete"), earlier(sample::complete(3)));
    let mut tenth = ten();
    assert_eq!(golden("v1-no-pod-binary-config"), earlier(tenth.remove(9)));
    assert_eq!(golden("v1-published"), earlier(tenth.remove(8)));
    assert_eq!(golden("v1-deleting"), earlier(tenth.remove(7)));
}

// Proves: P-DEL-1, P-DEL-12
#[test]
fn configuration_and_runtime_values_come_back_byte_for_byte() {
    let mut entry = sample::entry(1);
    let odd = b" {\"private\" : { \"k\":1.0e+2 , \"s\":\"\\u00e9\\/\" } }\n\t";
    entry.attachments[0].plugins[0].config = Exact::from(&odd[..]);
    entry.attachments[0]
        .runtime
        .insert("portMappings".to_owned(), Exact::from(&b"[ {\"hostPort\":8080} ]"[..]));
    let read = decode(&encode(&entry).unwrap()).unwrap().entry;
    assert_eq!(read.attachments[0].plugins[0].config.as_slice(), odd);
    assert_eq!(read.attachments[0].runtime["portMappings"].as_slice(), b"[ {\"hostPort\":8080} ]");
}

fn any_state() -> impl Strategy<Value = State> {
    use State::{Attached, Attaching, Detached, Detaching, Planned};
    prop::sample::select(vec![Planned, Attaching, Attached, Detaching, Detached])
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::None),
        Just(Status::Published),
        Just(Status::Superseded),
        Just(Status::Unpublished { why: Unpublished::StaticPod }),
        Just(Status::Unpublished { why: Unpublished::PlainPod }),
        ".{0,40}".prop_map(|why| Status::Unpublished { why: Unpublished::Failed(why) }),
    ]
}

prop_compose! {
    fn any_attachment()(
        n in 0..40usize,
        state in any_state(),
        config in prop::collection::vec(any::<u8>(), 0..200),
        text in "\\PC{0,40}",
        result in prop::option::of("\\PC{0,80}"),
    ) -> Recorded {
        let mut one = sample::attachment(n);
        one.state = state;
        one.plugins[0].config = config.into();
        one.args_del = text;
        one.result = result.map(|r| r.into_bytes().into());
        one
    }
}

prop_compose! {
    fn any_entry()(
        attachments in prop::collection::vec(any_attachment(), 0..8),
        stage in prop::sample::select(vec![Stage::Adding, Stage::Complete, Stage::Deleting]),
        status in any_status(),
        status_text in prop::option::of("\\PC{0,80}"),
        failures in prop::option::of((1..u32::MAX, 0..1_000_000u64, 0..1_000_000u64)),
        gone in prop::option::of(1..1_000_000u64),
    ) -> Entry {
        Entry {
            attachments, stage, status, status_text,
            failures: failures.map(|(count, a, b)| Failures { count, first: Uptime(a), last: Uptime(b) }),
            netns_gone: gone.map(Uptime),
            ..sample::entry(0)
        }
    }
}

use crate::Recorded;

proptest! {
    #[test]
    fn every_entry_comes_back_as_it_was(entry in any_entry()) {
        let bytes = encode(&entry).unwrap();
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(&read.entry, &entry);
        prop_assert_eq!(read.flaws, vec![]);
        prop_assert_eq!(read.end, bytes.len());
    }

    // Proves: S-8
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes);
        let mut after = marks::line(&sample::entry(1), FORMAT);
        after.extend(&bytes);
        let _ = decode(&after);
    }

    #[test]
    fn no_text_behind_the_plan_makes_the_reader_panic(tail in "[0-9a-f ]{0,20} ?[0-9]{0,8} (late|plan)\n.{0,40}\n?") {
        let mut bytes = encode(&sample::entry(2)).unwrap();
        bytes.extend(tail.as_bytes());
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(read.entry, sample::entry(2));
    }
}

/// Writes the golden files of this release; run by hand once, when a release is made.
#[test]
#[ignore = "writes files; only for a new format"]
fn write_golden_files() {
    let ten = ten();
    let all = [
        ("planned", sample::entry(2)),
        ("complete", sample::complete(3)),
        ("deleting", ten[7].clone()),
        ("published", ten[8].clone()),
        ("no-pod-binary-config", ten[9].clone()),
    ];
    for (name, entry) in all {
        let path = format!("{}/tests/golden/v{FORMAT}-{name}.entry", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, encode(&entry).unwrap()).unwrap();
    }
}
