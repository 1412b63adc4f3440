//! Undo goes backwards: over the plugins of a network, and over the networks of a pod.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manifold_cni::{
    Attachment, CniArgs, CniError, Delegate, Invocation, List, PluginConf, RawObject, Verb, Version,
};
use manifold_ledger::{Entry, State};
use proptest::prelude::*;

type Calls = Arc<Mutex<Vec<(Verb, usize)>>>;

/// Notes that it is called, and fails ADD where it should.
#[derive(Debug)]
struct Noting {
    place: usize,
    fails: bool,
    calls: Calls,
}

impl Delegate for Noting {
    fn name(&self) -> &str {
        "noting"
    }

    fn call(&self, call: &Invocation<'_>) -> Result<Vec<u8>, CniError> {
        self.calls.lock().unwrap().push((call.verb, self.place));
        if self.fails && call.verb == Verb::Add {
            return Err(CniError::failed("no"));
        }
        Ok(br#"{"cniVersion":"1.0.0"}"#.to_vec())
    }
}

fn plugin() -> PluginConf {
    PluginConf::read(RawObject::parse(br#"{"type":"fake"}"#).unwrap(), "").unwrap()
}

/// The calls of an ADD of which plugin `failing` fails, and of the undo that follows.
fn calls(count: usize, failing: usize) -> Vec<(Verb, usize)> {
    let calls = Calls::default();
    let steps: Vec<(PluginConf, Arc<dyn Delegate>)> = (0..count)
        .map(|place| {
            let delegate = Noting { place, fails: place == failing, calls: Arc::clone(&calls) };
            (plugin(), Arc::new(delegate) as Arc<dyn Delegate>)
        })
        .collect();
    let (name, path, runtime) = ("left".parse().unwrap(), Vec::<PathBuf>::new(), BTreeMap::new());
    let list = List {
        name: &name,
        version: Version::V1_0_0,
        disable_check: false,
        disable_gc: false,
        steps: &steps,
        path: &path,
        runtime: &runtime,
        deadline: Instant::now() + Duration::from_secs(60),
        each: Duration::from_secs(60),
    };
    let at = Attachment {
        container: "5c1d2e3f".parse().unwrap(),
        netns: "/run/netns/a".into(),
        ifname: "net1".parse().unwrap(),
        args: CniArgs::default(),
    };
    if list.add(&at, &mut |_, _, _| Ok(())).is_err() {
        assert!(list.del_all(&at.detach(), None, &mut |_, _, _| Ok(())).is_empty());
    }
    let calls = calls.lock().unwrap();
    calls.clone()
}

fn entry(states: &[State]) -> Entry {
    let attachment = r#"{"display":"a","network":"left","ifname":"net1","version":"1.1.0","plugins":[]}"#;
    let all = vec![attachment; states.len()].join(",");
    let text = format!(
        r#"{{"boot":"9f6c0f5e-3f0e-4d8a-b0a4-6a39c1b6f101","container":"c","created":1,"config_name":"m","attachments":[{all}]}}"#
    );
    let mut entry: Entry = serde_json::from_str(&text).unwrap();
    entry.attachments.iter_mut().zip(states).for_each(|(attachment, state)| attachment.state = *state);
    entry
}

proptest! {
    #![proptest_config(super::cases())]

    // Proves: F-PLG-1
    #[test]
    fn every_plugin_is_undone_in_the_reverse_order(count in 1_usize..9, failing in 0_usize..9) {
        let added = (0..count).take_while(|place| *place < failing).chain((failing < count).then_some(failing));
        let expected: Vec<(Verb, usize)> = added.map(|place| (Verb::Add, place)).collect();
        let undone = (0..count).rev().filter(|_| failing < count).map(|place| (Verb::Del, place));
        let expected: Vec<_> = expected.into_iter().chain(undone).collect();
        prop_assert_eq!(calls(count, failing), expected);
    }

    #[test]
    fn networks_that_owe_a_del_are_named_the_last_first(
        states in proptest::collection::vec(prop_oneof![Just(State::Planned), Just(State::Attached), Just(State::Detached)], 0..34),
    ) {
        let entry = entry(&states);
        let owing: Vec<usize> = entry.owing().map(|(n, _)| n).collect();
        let expected = states.iter().enumerate().rev().filter(|(_, state)| **state != State::Detached).map(|(n, _)| n);
        prop_assert_eq!(owing, expected.collect::<Vec<_>>());
    }
}
