use std::fs;

use super::*;

fn kind() -> PluginType {
    "bridge".parse().expect("a type")
}

fn put(folder: &Path, name: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
    path
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode set");
}

// Proves: CNI-EXE-4
#[test]
fn the_first_executable_file_wins_and_folders_and_plain_files_are_passed_over() {
    let (one, two, three, four) = (folder(), folder(), folder(), folder());
    fs::create_dir(one.path().join("bridge")).expect("made");
    put(two.path(), "bridge", 0o644);
    let wanted = put(three.path(), "bridge", 0o755);
    put(four.path(), "bridge", 0o755);
    let folders: Vec<PathBuf> = [&one, &two, &three, &four].iter().map(|d| d.path().to_owned()).collect();
    assert_eq!(find(&kind(), &folders), Ok(wanted));
}

// Proves: CNI-EXE-4, P-USE-3, F-PLG-5
#[test]
fn what_is_not_there_is_an_error_that_lists_the_folders() {
    let empty = folder();
    let error = find(&kind(), &[empty.path().to_owned(), "/nowhere".into()]).expect_err("not there");
    let told = CniError::from(error);
    assert_eq!(told.code, crate::code::INVALID_CONFIG);
    assert!(told.msg.contains("`bridge`") && told.msg.contains("`/nowhere`"), "{told}");
    assert!(told.msg.contains(&format!("`{}`", empty.path().display())), "{told}");
    let none = find(&kind(), &[]).expect_err("no folder").to_string();
    assert!(none.contains("CNI_PATH is empty"), "{none}");
    // A folder relative to wherever we happen to run is nobody's configuration.
    assert!(find(&"sh".parse().expect("a type"), &["../../../bin".into(), "bin".into()]).is_err());
}

// Proves: S-1
#[test]
fn a_folder_or_file_that_others_can_write_is_refused_with_the_mend() {
    let open = folder();
    put(open.path(), "bridge", 0o755);
    let safe = folder();
    put(safe.path(), "bridge", 0o755);
    for mode in [0o777, 0o757, 0o1777] {
        chmod(open.path(), mode);
        // Not passed over: whoever put it there wanted it to run.
        let folders = [open.path().to_owned(), safe.path().to_owned()];
        let error = find(&kind(), &folders).expect_err("others can write").to_string();
        assert!(
            error.contains("chmod go-w") && error.contains(&open.path().display().to_string()),
            "{error}"
        );
    }
    chmod(open.path(), 0o755);
    chmod(&open.path().join("bridge"), 0o757);
    assert!(find(&kind(), &[open.path().to_owned()]).is_err());
}

// Proves: S-1
#[test]
fn a_link_is_followed_only_to_a_place_that_is_as_safe() {
    let (bin, real) = (folder(), folder());
    let target = put(real.path(), "bridge-1.2", 0o755);
    std::os::unix::fs::symlink(&target, bin.path().join("bridge")).expect("linked");
    let folders = [bin.path().to_owned()];
    assert_eq!(find(&kind(), &folders), Ok(bin.path().join("bridge")));
    chmod(real.path(), 0o777);
    assert!(find(&kind(), &folders).expect_err("others can replace it").to_string().contains("777"));
    chmod(real.path(), 0o755);
    fs::remove_file(&target).expect("removed");
    assert!(matches!(find(&kind(), &folders), Err(NotFound::Missing { .. })));
}

// Proves: S-1
#[test]
fn a_folder_of_another_user_is_refused() {
    for (owner, user) in [(1001, 0), (1001, 1002)] {
        let error = find_other_writer(owner, 0, 0o755, user).expect("1001 can replace it");
        assert!(error.contains("user 1001") && error.contains("chown 0:0"), "{error}");
    }
    for (owner, user) in [(0, 0), (0, 1001), (1001, 1001)] {
        assert_eq!(find_other_writer(owner, 0, 0o755, user), None);
    }
}
