use std::os::unix::fs::symlink;

use super::*;

fn files(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(dir.path().join(name), *name).unwrap();
    }
    dir
}

fn names(found: &[ConfFile]) -> Vec<&str> {
    found.iter().map(|f| f.name.as_str()).collect()
}

// Proves: MLT-DLG-1
#[test]
fn a_folder_is_read_by_file_name_and_a_file_alone() {
    let dir = files(&["20-b.conf", "10-a.conflist", "30-c.json", "README", "a.conf.bak"]);
    let Place::Folder(found) = place(dir.path()).unwrap() else { panic!("a folder") };
    assert_eq!(names(&found), ["10-a.conflist", "20-b.conf", "30-c.json"]);
    assert_eq!(found[1].bytes, b"20-b.conf");
    let one = place(&dir.path().join("20-b.conf")).unwrap();
    assert_eq!(one, Place::File(ConfFile { name: "20-b.conf".into(), bytes: b"20-b.conf".to_vec() }));
}

// Proves: MLT-DLG-1
#[test]
fn a_path_to_nowhere_is_an_error_that_names_it() {
    let error = place(Path::new("/nowhere/x.conflist")).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::BadFile, 7));
    assert!(error.what.contains("`/nowhere/x.conflist`"), "{error}");
}

#[test]
fn a_missing_folder_holds_no_configurations() {
    assert_eq!(folder(Path::new("/nowhere")).unwrap(), []);
}

// Proves: MLT-DLG-1
#[test]
fn the_plugins_beside_a_list_are_read_from_the_folder_of_its_name() {
    let dir = files(&["10-a.conflist"]);
    std::fs::create_dir(dir.path().join("net")).unwrap();
    for name in ["2.conf", "1.conf", "x.conflist"] {
        std::fs::write(dir.path().join("net").join(name), name).unwrap();
    }
    let list = dir.path().join("10-a.conflist");
    assert_eq!(names(&beside(&list, "net").unwrap()), ["1.conf", "2.conf"]);
    assert_eq!(beside(&list, "other").unwrap(), []);
    assert_eq!(beside(&list, "..").unwrap(), []);
    assert_eq!(beside(&list, "net/../net").unwrap(), []);
}

#[test]
fn a_pipe_or_a_dangling_link_in_the_folder_does_not_hang_or_fail_the_call() {
    let dir = files(&["a.conf"]);
    nix::unistd::mkfifo(&dir.path().join("b.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/nowhere", dir.path().join("c.conf")).unwrap();
    std::fs::create_dir(dir.path().join("d.conf")).unwrap();
    assert_eq!(names(&folder(dir.path()).unwrap()), ["a.conf"]);
    let error = place(&dir.path().join("b.conf")).unwrap_err();
    assert_eq!(error.kind, Kind::BadFile);
}

// Proves: F-INP-1
#[test]
fn a_huge_file_is_refused_without_reading_it_whole() {
    let dir = files(&[]);
    let path = dir.path().join("a.conf");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = place(&path).unwrap_err();
    assert_eq!(error.kind, Kind::BadFile);
    assert!(error.what.contains("larger than 1048576 bytes"), "{error}");
}

#[test]
fn the_mirror_is_none_until_the_node_role_wrote_it() {
    let dir = files(&[]);
    assert_eq!(mirror(dir.path()).unwrap(), None);
    std::fs::write(dir.path().join(MIRROR), "{}").unwrap();
    assert_eq!(mirror(dir.path()).unwrap(), Some(b"{}".to_vec()));
}
