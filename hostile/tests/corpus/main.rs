//! Every file of the corpus has the answer that is stored for it, in the file `ANSWERS` of its folder.
//!
//! `UPDATE_ANSWERS=1` writes the answers as they are now. Read the difference: each refusal is one plain sentence that says
//! what is wrong, where, and how to fix it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use manifold_hostile::files::{self, ANSWERS, Case};
use manifold_hostile::{Answer, Bounds, Reader};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Of each class, what its `ANSWERS` should be. Files that break their reader are named all at once.
fn answers(cases: &[Case]) -> BTreeMap<&str, String> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut broken = Vec::new();
    for case in cases {
        // Where the webhook is left out, its reviews are too.
        let Some(reader) = Reader::named(&case.reader) else { continue };
        let run = std::panic::AssertUnwindSafe(|| reader.check(&case.bytes, &Bounds::UNOPTIMISED));
        let Ok(answer) = std::panic::catch_unwind(run) else {
            broken.push(format!("{}/{}", case.class, case.name));
            continue;
        };
        let text = texts.entry(&case.class).or_default();
        text.push_str(&format!("{}: {answer}\n", case.name));
    }
    assert!(broken.is_empty(), "these break their readers; see above: {broken:#?}");
    texts
}

// Proves: F-INP-5, F-INP-2
#[test]
fn each_file_has_the_answer_that_is_stored_for_it() {
    let cases = files::corpus().unwrap();
    let classes: BTreeSet<&str> = cases.iter().map(|case| case.class.as_str()).collect();
    assert!(cases.len() >= 500 && classes.len() >= 25, "{} files in {} classes", cases.len(), classes.len());
    let is_update = std::env::var_os("UPDATE_ANSWERS").is_some();
    let mut wrong = Vec::new();
    for (class, text) in answers(&cases) {
        let path = files::root().join("corpus").join(class).join(ANSWERS);
        if is_update {
            fs::write(&path, text).unwrap();
        } else {
            let stored = fs::read_to_string(&path).unwrap_or_default();
            wrong.extend(differences(class, &stored, &text));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_ANSWERS=1 stores these:\n{}", wrong.join("\n"));
}

fn differences(class: &str, stored: &str, now: &str) -> Vec<String> {
    let stored: BTreeSet<&str> = stored.lines().collect();
    let new = now.lines().filter(|line| !stored.contains(line));
    let mut found: Vec<String> = new.map(|line| format!("{class}: {line}")).collect();
    if found.is_empty() && stored != now.lines().collect() {
        found.push(format!("{class}: an answer is stored that no file has"));
    }
    found
}

#[test]
fn every_ending_is_the_name_of_a_reader() {
    for case in files::corpus().unwrap() {
        let is_review = case.reader.starts_with("review_");
        assert!(is_review || Reader::named(&case.reader).is_some(), "{}/{}", case.class, case.name);
    }
}

#[test]
fn no_two_files_are_the_same() {
    let cases = files::corpus().unwrap();
    let mut seen: BTreeMap<(&str, &[u8]), &Case> = BTreeMap::new();
    for case in &cases {
        if let Some(other) = seen.insert((&case.reader, &case.bytes), case) {
            panic!("{}/{} is {}/{} again", case.class, case.name, other.class, other.name);
        }
    }
}

#[test]
fn a_changed_answer_is_told() {
    let refused = |sentence: &str| Answer::refused(sentence).to_string();
    let (one, two) = (format!("a: {}", refused("one")), format!("a: {}", refused("two")));
    assert_eq!(differences("class", &one, &one), Vec::<String>::new());
    assert_eq!(differences("class", &one, &two), ["class:     two"]);
    assert_eq!(differences("class", &format!("{one}\nb: accepted"), &one).len(), 1);
}
