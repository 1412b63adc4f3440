use serde_json::{Value, json};

use super::*;
use crate::fake::{FakeDelegate, Seen, Trace, attachment};

/// A list of fakes called `a`, `b`, `c` that share one trace.
struct Bed {
    name: NetworkName,
    version: Version,
    steps: Vec<Step>,
    runtime: BTreeMap<String, Box<RawValue>>,
    trace: Trace,
    disabled: bool,
}

type Answer = fn(&str, Verb) -> Result<Vec<u8>, CniError>;

impl Bed {
    fn new(version: Version, answer: Answer) -> Self {
        let trace = Trace::default();
        let step = |name: &str| {
            let raw = json!({"type": name, "capabilities": {"mac": true}, "own": name}).to_string();
            let conf =
                PluginConf::read(RawObject::parse(raw.as_bytes()).expect("an object"), "").expect("a plugin");
            let fake = FakeDelegate { name: name.to_owned(), trace: trace.clone(), answer };
            (conf, Arc::new(fake) as Arc<dyn Delegate>)
        };
        let mac = RawValue::from_string("\"02:00:00:00:00:01\"".to_owned()).expect("JSON");
        Self {
            name: "net".parse().expect("a name"),
            version,
            steps: ["a", "b", "c"].map(step).into(),
            runtime: [("mac".to_owned(), mac)].into(),
            trace,
            disabled: false,
        }
    }

    fn list(&self) -> List<'_> {
        List {
            name: &self.name,
            version: self.version,
            disable_check: self.disabled,
            disable_gc: self.disabled,
            steps: &self.steps,
            path: &[],
            runtime: &self.runtime,
            deadline: Instant::now() + Duration::from_secs(60),
            each: Duration::from_secs(30),
        }
    }

    /// Plugins by the order of their calls, and the trace is empty again.
    fn order(&self) -> String {
        self.calls().into_iter().map(|seen| seen.plugin).collect()
    }

    fn calls(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.trace.lock().expect("no panic holds it"))
    }
}

fn go_on(_: Verb, _: usize, _: &PluginConf) -> Result<(), CniError> {
    Ok(())
}

/// ADD answers with an interface named after the plugin; other verbs succeed.
fn works(name: &str, verb: Verb) -> Result<Vec<u8>, CniError> {
    let answer = json!({"cniVersion": "1.1.0", "interfaces": [{"name": name, "mtu": 1400}], "foreign": 1.5});
    Ok(if verb == Verb::Add { answer.to_string().into_bytes() } else { Vec::new() })
}

/// As [`works`], but `b` says code 11.
fn b_fails(name: &str, verb: Verb) -> Result<Vec<u8>, CniError> {
    if name == "b" { Err(CniError::new(code::TRY_AGAIN, "b is busy")) } else { works(name, verb) }
}

fn prev(interface: &str) -> Value {
    json!({"cniVersion": "1.1.0", "interfaces": [{"name": interface, "mtu": 1400}], "foreign": 1.5})
}

// Proves: CNI-RUN-ADD-1, CNI-RUN-ADD-5, CNI-DRV-4
#[test]
fn add_runs_in_order_and_hands_each_result_on_whole() {
    let bed = Bed::new(Version::V1_1_0, works);
    let added = bed.list().add(&attachment(), &mut go_on).expect("all work");
    let calls = bed.calls();
    let prevs: Vec<Option<&Value>> = calls.iter().map(|seen| seen.config.get("prevResult")).collect();
    assert_eq!(prevs, [None, Some(&prev("a")), Some(&prev("b"))]);
    assert_eq!(serde_json::from_slice::<Value>(&added.raw).expect("JSON"), prev("c"));
    assert_eq!(added.result.interfaces[0].name, "c");
    for seen in &calls {
        assert_eq!((seen.container.as_deref(), seen.ifname.as_deref()), (Some("c1"), Some("eth0")));
        assert_eq!(
            (seen.netns.clone(), seen.args.as_str()),
            (Some("/run/netns/c1".into()), "K8S_POD_NAME=cart")
        );
        assert_eq!((&seen.config["name"], &seen.config["cniVersion"]), (&json!("net"), &json!("1.1.0")));
        assert_eq!(seen.config["runtimeConfig"], json!({"mac": "02:00:00:00:00:01"}));
    }
}

// Proves: CNI-RUN-ADD-5, CNI-CFG-16
#[test]
fn what_one_plugin_prints_reaches_the_next_byte_by_byte() {
    fn big(_: &str, _: Verb) -> Result<Vec<u8>, CniError> {
        Ok(br#"{"cniVersion":"1.1.0","n":123456789012345678901234567890,"f":1.50}"#.to_vec())
    }
    let added = Bed::new(Version::V1_1_0, big).list().add(&attachment(), &mut go_on).expect("works");
    assert_eq!(added.raw, big("", Verb::Add).expect("the same"));
}

// Proves: CNI-RUN-ADD-2, CNI-ERR-100, P-USE-1
#[test]
fn add_stops_at_the_first_error_and_keeps_its_code() {
    let bed = Bed::new(Version::V1_1_0, b_fails);
    let stopped = bed.list().add(&attachment(), &mut go_on).expect_err("b fails");
    assert_eq!(bed.order(), "ab");
    assert_eq!((stopped.at, stopped.plugin.as_str(), stopped.error.code), (1, "b", code::TRY_AGAIN));
    assert_eq!(stopped.error.msg, "network `net`, plugin `b`, ADD: b is busy");
}

// Proves: CNI-RUN-ADD-4
#[test]
fn a_result_without_version_is_of_the_configurations_and_null_is_empty() {
    fn bare(name: &str, _: Verb) -> Result<Vec<u8>, CniError> {
        Ok(match name {
            "a" => br#"{"ips":[{"version":"4","address":"10.0.0.2/24"}]}"#.to_vec(),
            _ => b" null\n".to_vec(),
        })
    }
    let bed = Bed::new(Version::V0_4_0, bare);
    let added = bed.list().add(&attachment(), &mut go_on).expect("works");
    let calls = bed.calls();
    let expected = json!({"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.2/24"}]});
    assert_eq!(calls[1].config["prevResult"], expected);
    assert_eq!(calls[2].config["prevResult"], json!({"cniVersion": "0.4.0"}));
    assert_eq!(
        (added.raw.as_slice(), added.result),
        (&br#"{"cniVersion":"0.4.0"}"#[..], CniResult::default())
    );
}

// Proves: CNI-RUN-ADD-5, CNI-V03-1
#[test]
fn a_result_of_another_version_is_handed_on_in_the_configurations() {
    let bed = Bed::new(Version::V0_3_1, |_, _| {
        Ok(br#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}"#.to_vec())
    });
    bed.list().add(&attachment(), &mut go_on).expect("converts");
    let expected = json!({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.0.0.2/24"}]});
    assert_eq!(bed.calls()[1].config["prevResult"], expected);
    let garbage = Bed::new(Version::V1_0_0, |_, _| Ok(b"7".to_vec()));
    let stopped = garbage.list().add(&attachment(), &mut go_on).expect_err("no result");
    assert!(stopped.at == 0 && stopped.error.code == code::DECODE, "{stopped}");
}

// Proves: CNI-CFG-4
#[test]
fn a_plugin_of_older_versions_is_not_asked_first_and_answers_for_itself() {
    let bed = Bed::new(Version::V1_1_0, |name, verb| match name {
        "b" => Err(CniError::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions")),
        _ => works(name, verb),
    });
    let stopped = bed.list().add(&attachment(), &mut go_on).expect_err("b only speaks 1.0.0");
    assert_eq!((stopped.plugin.as_str(), stopped.error.code), ("b", code::INCOMPATIBLE_VERSION));
    assert!(bed.calls().iter().all(|seen| seen.verb == Verb::Add));
}

// Proves: CNI-RUN-DEL-1, CNI-V04-1, CNI-V03-1
#[test]
fn del_runs_backwards_with_the_final_result_where_the_version_knows_that() {
    for version in Version::ALL {
        let bed = Bed::new(version, works);
        let last = crate::fake::one_address().to_json(version).expect("fits");
        bed.list().del(&attachment().detach(), Some(&last), &mut go_on).expect("all work");
        let calls = bed.calls();
        assert_eq!(calls.iter().map(|seen| seen.plugin.as_str()).collect::<String>(), "cba");
        let expected: Option<Value> =
            version.has_check().then(|| serde_json::from_slice(&last).expect("JSON"));
        for seen in calls {
            assert_eq!(seen.config.get("prevResult"), expected.as_ref(), "{version}");
        }
    }
}

// Proves: CNI-RUN-DEL-2
#[test]
fn del_of_a_list_stops_at_the_first_error() {
    let bed = Bed::new(Version::V1_1_0, b_fails);
    let stopped = bed.list().del(&attachment().detach(), None, &mut go_on).expect_err("b fails");
    assert_eq!((bed.order().as_str(), stopped.at), ("cb", 1));
}

// Proves: CNI-RUN-DEL-3
#[test]
fn del_goes_on_without_a_result_that_is_missing_torn_or_of_no_version() {
    let bed = Bed::new(Version::V1_1_0, works);
    for bad in [None, Some(&b"{\"cniVer"[..]), Some(br#"{"cniVersion":"7.7.7"}"#), Some(b""), Some(b"[]")] {
        bed.list().del(&attachment().detach(), bad, &mut go_on).expect("all work");
        let calls = bed.calls();
        assert!(calls.len() == 3 && calls.iter().all(|seen| seen.config.get("prevResult").is_none()));
    }
    // No address: this result has no form in 0.2.0, so nothing is handed on there either.
    let old = Bed::new(Version::V0_2_0, works);
    old.list().del(&attachment().detach(), Some(b"{}"), &mut go_on).expect("all work");
}

// Proves: CNI-RUN-DEL-4
#[test]
fn undo_reaches_every_plugin_whatever_the_others_say() {
    let bed = Bed::new(Version::V1_1_0, |name, verb| match verb {
        Verb::Del if name == "b" => Err(CniError::new(code::TRY_AGAIN, "b is busy")),
        Verb::Del if name == "a" => Err(CniError::failed("a is stuck")),
        Verb::Add if name == "b" => Err(CniError::failed("no")),
        _ => works(name, verb),
    });
    bed.list().add(&attachment(), &mut go_on).expect_err("b fails");
    assert_eq!(bed.order(), "ab");
    let failed = bed.list().del_all(&attachment().detach(), None, &mut go_on);
    assert_eq!(bed.order(), "cba");
    assert_eq!(failed.iter().map(|s| s.at).collect::<Vec<_>>(), [1, 0]);
    let error = joined(&failed).expect_err("two failed");
    assert_eq!(error.code, code::TRY_AGAIN);
    assert!(error.msg.contains("b is busy") && error.details.contains("a is stuck"), "{error}");
    assert_eq!(joined(&[]), Ok(()));
}

// Proves: CNI-RUN-CHK-1
#[test]
fn check_runs_in_order_with_the_final_result_and_the_arguments_of_add() {
    let bed = Bed::new(Version::V1_1_0, works);
    bed.list().add(&attachment(), &mut go_on).expect("all work");
    let added = bed.calls();
    bed.list().check(&attachment(), Some(prev("c").to_string().as_bytes()), &mut go_on).expect("all work");
    let checked = bed.calls();
    assert_eq!(checked.len(), 3);
    for (add, check) in added.into_iter().zip(checked) {
        assert_eq!(check.config["prevResult"], prev("c"));
        let (mut add_config, mut check_config) = (add.config, check.config);
        add_config.as_object_mut().expect("an object").remove("prevResult");
        check_config.as_object_mut().expect("an object").remove("prevResult");
        assert_eq!(add_config, check_config);
        assert_eq!((add.plugin, add.container, add.netns), (check.plugin, check.container, check.netns));
        assert_eq!((add.ifname, add.args), (check.ifname, check.args));
    }
}

// Proves: CNI-RUN-CHK-2, CNI-CFG-7
#[test]
fn check_of_an_old_list_is_refused_and_of_a_disabled_one_a_success_without_a_call() {
    let old = Bed::new(Version::V0_3_1, works);
    let stopped = old.list().check(&attachment(), Some(b"{}"), &mut go_on).expect_err("too old");
    assert_eq!(stopped.error.code, code::INCOMPATIBLE_VERSION);
    assert!(stopped.error.msg.contains("does not support the CHECK command"), "{stopped}");
    let mut disabled = Bed::new(Version::V1_1_0, works);
    disabled.disabled = true;
    disabled.list().check(&attachment(), None, &mut go_on).expect("disabled");
    assert_eq!(old.order() + &disabled.order(), "");
}

// Proves: CNI-RUN-CHK-3
#[test]
fn check_without_a_readable_result_is_an_error() {
    let bed = Bed::new(Version::V1_1_0, works);
    for bad in [None, Some(&b"{"[..]), Some(br#"{"cniVersion":"7.7.7"}"#)] {
        bed.list().check(&attachment(), bad, &mut go_on).expect_err("nothing to compare with");
    }
    assert_eq!(bed.order(), "");
}

// Proves: CNI-RUN-CHK-4
#[test]
fn check_stops_at_the_first_error() {
    let bed = Bed::new(Version::V1_1_0, b_fails);
    assert_eq!(bed.list().check(&attachment(), Some(b"{}"), &mut go_on).expect_err("b fails").at, 1);
    assert_eq!(bed.order(), "ab");
}

// Proves: CNI-RUN-STA-1, CNI-RUN-STA-2, CNI-STA-5
#[test]
fn status_stops_at_the_first_plugin_that_is_not_ready_and_carries_no_attachment() {
    let bed = Bed::new(Version::V1_1_0, |name, _| match name {
        "b" => Err(CniError::new(code::LIMITED_CONNECTIVITY, "half of it")),
        _ => Ok(Vec::new()),
    });
    let stopped = bed.list().status(&mut go_on).expect_err("b is not ready");
    assert_eq!(stopped.error.code, code::LIMITED_CONNECTIVITY);
    let calls = bed.calls();
    assert_eq!(calls.len(), 2);
    for seen in calls {
        let expected = json!({"type": seen.plugin, "own": seen.plugin, "name": "net", "cniVersion": "1.1.0"});
        assert_eq!(seen.config, expected);
        assert_eq!((seen.container, seen.netns, seen.ifname), (None, None, None));
    }
    let old = Bed::new(Version::V1_0_0, b_fails);
    old.list().status(&mut go_on).expect("no STATUS in 1.0.0");
    assert_eq!(old.order(), "");
}

fn stale(container: &str) -> Stale {
    let mut at = attachment().detach();
    at.container = container.parse().expect("an id");
    Stale { at, prev: None }
}

// Proves: CNI-RUN-GC-1, CNI-RUN-STA-2, CNI-GC-4
#[test]
fn gc_tells_every_plugin_what_lives_and_goes_on_past_errors() {
    let bed = Bed::new(Version::V1_1_0, |name, _| match name {
        "c" => Ok(Vec::new()),
        _ => Err(CniError::failed(format!("{name} is stuck"))),
    });
    let keep = [attachment().id()];
    let failed = bed.list().gc(&keep, &[], &mut go_on);
    let error = joined(&failed).expect_err("two failed").to_string();
    assert!(error.contains("a is stuck") && error.contains("b is stuck"), "{error}");
    let calls = bed.calls();
    assert_eq!(calls.len(), 3);
    for seen in calls {
        let list = json!([{"containerID": "c1", "ifname": "eth0"}]);
        let expected = json!({"type": seen.plugin, "own": seen.plugin, "name": "net", "cniVersion": "1.1.0",
            "cni.dev/valid-attachments": list, "cni.dev/attachments": list});
        assert_eq!((seen.verb, seen.config), (Verb::Gc, expected));
    }
}

// Proves: CNI-RUN-GC-2
#[test]
fn gc_deletes_the_dead_attachments_first_and_leaves_the_living() {
    let bed = Bed::new(Version::V1_1_0, works);
    let failed = bed.list().gc(&[attachment().id()], &[stale("c1"), stale("dead")], &mut go_on);
    assert!(failed.is_empty());
    let calls = bed.calls();
    let trace: Vec<(Verb, &str)> = calls.iter().map(|seen| (seen.verb, seen.plugin.as_str())).collect();
    let (del, gc) = (Verb::Del, Verb::Gc);
    assert_eq!(trace, [(del, "c"), (del, "b"), (del, "a"), (gc, "a"), (gc, "b"), (gc, "c")]);
    assert!(
        calls.iter().filter(|seen| seen.verb == del).all(|seen| seen.container.as_deref() == Some("dead"))
    );
}

// Proves: CNI-RUN-GC-1, CNI-CFG-8
#[test]
fn gc_of_an_old_list_calls_no_gc_and_of_a_disabled_one_nothing() {
    let old = Bed::new(Version::V1_0_0, works);
    assert!(old.list().gc(&[], &[], &mut go_on).is_empty());
    let mut disabled = Bed::new(Version::V1_1_0, works);
    disabled.disabled = true;
    assert!(disabled.list().gc(&[], &[stale("dead")], &mut go_on).is_empty());
    assert_eq!(old.order() + &disabled.order(), "");
}

#[test]
fn the_caller_may_stop_before_each_plugin() {
    let bed = Bed::new(Version::V1_1_0, works);
    let mut asked = Vec::new();
    let stopped = bed.list().add(&attachment(), &mut |verb, n, conf| {
        asked.push((verb, n, conf.kind.to_string()));
        if n == 1 { Err(CniError::new(code::TRY_AGAIN, "cancelled")) } else { Ok(()) }
    });
    assert_eq!(stopped.expect_err("cancelled").error, CniError::new(code::TRY_AGAIN, "cancelled"));
    assert_eq!(asked, [(Verb::Add, 0, "a".to_owned()), (Verb::Add, 1, "b".to_owned())]);
    assert_eq!(bed.order(), "a");
}
