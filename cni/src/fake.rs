//! A plugin and a delegate that remember what they were asked, for tests.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::{
    Attachment, AttachmentId, CniError, CniResult, Delegate, Detachment, Input, Invocation, IpConfig, Plugin,
    Verb, Version,
};

/// A plugin that answers by two functions, one for ADD and one for everything else.
pub(crate) struct FakePlugin {
    pub(crate) versions: &'static [Version],
    pub(crate) add: fn(&Input) -> Result<CniResult, CniError>,
    pub(crate) other: fn(Verb) -> Result<(), CniError>,
    pub(crate) seen: Mutex<Vec<(Verb, Value)>>,
}

impl FakePlugin {
    /// Panics when it is called.
    pub(crate) fn empty() -> Self {
        let (add, other) = (|_: &Input| panic!("ADD"), |_: Verb| panic!("not ADD"));
        Self { versions: &Version::ALL, add, other, seen: Mutex::default() }
    }

    pub(crate) fn leak(
        add: fn(&Input) -> Result<CniResult, CniError>,
        other: fn(Verb) -> Result<(), CniError>,
    ) -> &'static Self {
        Box::leak(Box::new(Self { add, other, ..Self::empty() }))
    }

    /// Each verb that reached the plugin.
    pub(crate) fn verbs(&self) -> Vec<Verb> {
        self.seen.lock().expect("no panic holds it").iter().map(|(verb, _)| *verb).collect()
    }

    fn note(&self, verb: Verb, input: &Input) {
        let config = serde_json::from_slice(&input.config.to_vec()).expect("JSON");
        self.seen.lock().expect("no panic holds it").push((verb, config));
    }

    fn answer(&self, verb: Verb, input: &Input) -> Result<(), CniError> {
        self.note(verb, input);
        (self.other)(verb)
    }
}

impl Plugin for FakePlugin {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn versions(&self) -> &'static [Version] {
        self.versions
    }
    fn add(&self, input: &Input, _: &Attachment) -> Result<CniResult, CniError> {
        self.note(Verb::Add, input);
        (self.add)(input)
    }
    fn check(&self, input: &Input, _: &Attachment) -> Result<(), CniError> {
        self.answer(Verb::Check, input)
    }
    fn del(&self, input: &Input, _: &Detachment) -> Result<(), CniError> {
        self.answer(Verb::Del, input)
    }
    fn status(&self, input: &Input) -> Result<(), CniError> {
        self.answer(Verb::Status, input)
    }
    fn gc(&self, input: &Input, _: &[AttachmentId]) -> Result<(), CniError> {
        self.answer(Verb::Gc, input)
    }
}

/// One address, and nothing else.
pub(crate) fn one_address() -> CniResult {
    let ip = IpConfig::new("10.0.0.2/24".parse().expect("an address"), None);
    CniResult { ips: vec![ip], ..CniResult::default() }
}

pub(crate) fn attachment() -> Attachment {
    Attachment {
        container: "c1".parse().expect("an id"),
        netns: "/run/netns/c1".into(),
        ifname: "eth0".parse().expect("a name"),
        args: crate::CniArgs::parse("K8S_POD_NAME=cart"),
    }
}

/// One call of a delegate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) plugin: String,
    pub(crate) verb: Verb,
    pub(crate) config: Value,
    pub(crate) container: Option<String>,
    pub(crate) netns: Option<std::path::PathBuf>,
    pub(crate) ifname: Option<String>,
    pub(crate) args: String,
}

/// Calls in the order in which they came, over all delegates that share it.
pub(crate) type Trace = Arc<Mutex<Vec<Seen>>>;

pub(crate) struct FakeDelegate {
    pub(crate) name: String,
    pub(crate) trace: Trace,
    pub(crate) answer: fn(&str, Verb) -> Result<Vec<u8>, CniError>,
}

impl Delegate for FakeDelegate {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, invocation: &Invocation<'_>) -> Result<Vec<u8>, CniError> {
        self.trace.lock().expect("no panic holds it").push(Seen {
            plugin: self.name.clone(),
            verb: invocation.verb,
            config: serde_json::from_slice(&invocation.config).expect("JSON"),
            container: invocation.container.map(ToString::to_string),
            netns: invocation.netns.clone(),
            ifname: invocation.ifname.map(ToString::to_string),
            args: invocation.args.to_string(),
        });
        (self.answer)(&self.name, invocation.verb)
    }
}
