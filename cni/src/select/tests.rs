use super::*;

fn files(some: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    some.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

const LIST: &str = r#"{"name":"n","plugins":[{"type":"a"}]}"#;
const SINGLE: &str = r#"{"name":"n","type":"b"}"#;
const OTHER: &str = r#"{"name":"other","type":"b"}"#;

#[track_caller]
fn picked(some: &[(&str, &str)], expected: &str) {
    assert_eq!(select_by_name(&files(some), "n").expect("one of that name").file, expected);
}

// Proves: CNI-CFG-21, NPWG-3.4.1-2, NPWG-3.4.1-3, MLT-DLG-6
#[test]
fn lists_come_before_single_plugins_whatever_they_are_called() {
    picked(&[("00.conf", SINGLE), ("90.conflist", LIST)], "90.conflist");
    picked(&[("20.json", SINGLE), ("10.conf", SINGLE), ("05.txt", SINGLE)], "10.conf");
    picked(&[("00.conflist", OTHER), ("a.json", SINGLE)], "a.json");
    picked(&[("n.conflist", OTHER), ("z.conflist", LIST)], "z.conflist");
}

// Proves: CNI-CFG-6
#[test]
fn of_two_lists_with_one_name_the_first_file_wins() {
    picked(&[("b.conflist", LIST), ("a.conflist", LIST)], "a.conflist");
}

// Proves: MLT-DLG-6
#[test]
fn a_broken_file_of_somebody_else_is_told_and_passed_over() {
    let some = files(&[
        ("00.conflist", "{"),
        ("10.conflist", r#"{"name":"x","plugins":[]}"#),
        ("20.conflist", LIST),
    ]);
    let picked = select_by_name(&some, "n").expect("one of that name");
    assert_eq!(picked.file, "20.conflist");
    let notes: Vec<String> = picked.notes.iter().map(Note::to_string).collect();
    assert_eq!(notes[0], "file `00.conflist` was skipped: EOF while parsing an object (line 1, column 1)");
    assert!(notes[1].contains("`10.conflist`") && notes[1].contains("/plugins"), "{}", notes[1]);
}

// Proves: CNI-CFG-22, NPWG-3.4.1-4
#[test]
fn an_empty_folder_and_a_missing_name_are_told_apart() {
    let none = select_by_name(&files(&[("README", "x")]), "n").expect_err("nothing there");
    assert_eq!(none, NotSelected::NoConfigurations { name: "n".to_owned() });
    let other = select_by_name(&files(&[("a.conf", OTHER), ("b.conf", "{")]), "n").expect_err("another name");
    let told = other.to_string();
    assert!(told.contains("named `n`; there are `other`") && told.contains("`b.conf`"), "{told}");
    assert_ne!(none.to_string(), told);
}
