use std::collections::BTreeMap;

use super::*;

const FULL: [(&str, &str); 5] = [
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/c1"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_ARGS", "IgnoreUnknown=1;IP=10.0.0.1"),
    ("CNI_PATH", "/opt/cni/bin::/usr/lib/cni"),
];

fn env(command: &str, without: &[&str], set: &[(&str, &str)]) -> Result<Call, CniError> {
    let mut vars: BTreeMap<&str, &str> = FULL.into_iter().filter(|(k, _)| !without.contains(k)).collect();
    vars.insert("CNI_COMMAND", command);
    vars.extend(set.iter().copied());
    Call::from_env(|key| vars.get(key).map(|v| (*v).to_owned()))
}

#[track_caller]
fn refused(call: Result<Call, CniError>, words: &[&str]) {
    let error = call.expect_err("refused");
    assert_eq!(error.code, code::INVALID_ENVIRONMENT);
    for word in words {
        assert!(error.msg.contains(word), "{error}");
    }
}

// Proves: CNI-ENV-1
#[test]
fn six_commands_are_known_and_no_other() {
    for command in ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"] {
        assert!(env(command, &[], &[]).is_ok(), "{command}");
    }
    for command in ["FOO", "add", "ADD ", "ADD\nDEL"] {
        refused(env(command, &[], &[]), &["unknown CNI_COMMAND"]);
    }
}

// Proves: CNI-ENV-3, CNI-ENV-5, CNI-ENV-6
#[test]
fn add_has_its_attachment_arguments_and_folders() {
    let call = env("ADD", &[], &[]).expect("complete");
    let Target::Add(at) = call.target else { panic!("an ADD") };
    assert_eq!((at.container.as_str(), at.ifname.as_str()), ("c1", "eth0"));
    assert_eq!((at.netns, at.args.get("IP")), (PathBuf::from("/run/netns/c1"), Some("10.0.0.1")));
    assert_eq!(call.path, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
    for args in [&[][..], &[("CNI_ARGS", "")]] {
        let Target::Add(at) = env("ADD", &["CNI_ARGS"], args).expect("optional").target else {
            panic!("an ADD")
        };
        assert_eq!(at.args, CniArgs::default());
    }
}

// Proves: CNI-ENV-3, CNI-DEL-3
#[test]
fn del_does_without_a_netns() {
    for netns in [&[][..], &[("CNI_NETNS", "")]] {
        let Target::Del(at) = env("DEL", &["CNI_NETNS"], netns).expect("optional").target else {
            panic!("a DEL")
        };
        assert_eq!(at.netns, None);
    }
}

// Proves: CNI-ENV-7, CNI-ERR-4
#[test]
fn one_error_names_everything_that_is_missing() {
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    for command in ["ADD", "CHECK"] {
        refused(env(command, &all, &[]), &["CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME are missing"]);
        refused(env(command, &[], &[("CNI_NETNS", "")]), &["CNI_NETNS is missing"]);
    }
    refused(env("DEL", &all, &[]), &["CNI_CONTAINERID, CNI_IFNAME are missing"]);
}

// Proves: CNI-ENV-2, CNI-ENV-4, F-INP-6
#[test]
fn bad_names_are_code_4() {
    for id in ["../x", "-a", "a b", "a/b"] {
        refused(env("ADD", &[], &[("CNI_CONTAINERID", id)]), &["container id"]);
        refused(env("DEL", &[], &[("CNI_CONTAINERID", id)]), &["container id"]);
    }
    for name in [".", "..", "a/b", "a:b", "a b", "1234567890123456"] {
        refused(env("CHECK", &[], &[("CNI_IFNAME", name)]), &["interface name"]);
    }
}

// Proves: CNI-ENV-6
#[test]
fn only_gc_must_have_folders() {
    for command in ["ADD", "DEL", "CHECK", "STATUS", "VERSION"] {
        assert!(env(command, &["CNI_PATH"], &[]).is_ok(), "{command}");
    }
    refused(env("GC", &["CNI_PATH"], &[]), &["CNI_PATH"]);
}

// Proves: CNI-ENV-11, CNI-ENV-10
#[test]
fn status_gc_and_version_need_no_attachment_and_do_not_look_at_it() {
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    let bad = [("CNI_CONTAINERID", "../x"), ("CNI_IFNAME", "a/b")];
    for command in ["STATUS", "GC", "VERSION"] {
        assert!(env(command, &all, &[]).is_ok() && env(command, &[], &bad).is_ok(), "{command}");
    }
    assert!(Call::from_env(|key| (key == "CNI_COMMAND").then(|| "VERSION".to_owned())).is_ok());
}

// Proves: CNI-GC-2, CNI-GC-3
#[test]
fn the_list_of_the_living_is_read_from_either_key_and_absent_is_not_empty() {
    #[track_caller]
    fn check(raw: &str, expected: Option<&[&str]>) {
        let config = RawObject::parse(raw.as_bytes()).expect("an object");
        let keep = valid_attachments(&config).expect("a list");
        let ids = keep.map(|keep| keep.into_iter().map(|id| id.container).collect::<Vec<_>>());
        assert_eq!(ids, expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect()));
    }
    check("{}", None);
    check(r#"{"cni.dev/valid-attachments":[]}"#, Some(&[]));
    check(r#"{"cni.dev/attachments":[{"containerID":"old","ifname":"e"}]}"#, Some(&["old"]));
    check(
        r#"{"cni.dev/attachments":[{"containerID":"old","ifname":"e"}],"cni.dev/valid-attachments":[{"containerID":"new","ifname":"e"}]}"#,
        Some(&["new"]),
    );
    check(r#"{"cni.dev/valid-attachments":null}"#, None);
    let broken =
        RawObject::parse(br#"{"cni.dev/valid-attachments":[{"containerID":"c"}]}"#).expect("an object");
    assert_eq!(valid_attachments(&broken).expect_err("no ifname").code, code::DECODE);
}
