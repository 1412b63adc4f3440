//! An IPAM plugin that is linked in cannot be told from the same one as an executable.

use std::time::{Duration, Instant};

use manifold_cni::check::is_not_offered;
use manifold_cni::{
    Attachment, AttachmentId, Bundled, CniArgs, CniError, CniResult, Delegate, Input, Invocation, Ipam,
    Plugin, Verb,
};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::fixed::Fixed;

fn linked(kind: &str) -> Option<&'static dyn Plugin> {
    (kind == "fixed").then_some(&Fixed as &dyn Plugin)
}

fn installed(_: &str) -> Option<&'static dyn Plugin> {
    None
}

fn attachment() -> Attachment {
    Attachment {
        container: "c1".parse().expect("an id"),
        netns: "/run/netns/nowhere".into(),
        ifname: "eth0".parse().expect("a name"),
        args: CniArgs::default(),
    }
}

fn configs() -> Vec<Value> {
    let with = |version: &str, ipam: Value, more: Value| {
        let keys = |value: Value| value.as_object().expect("an object").clone();
        let mut ipam = keys(ipam);
        ipam.insert("type".to_owned(), json!("fixed"));
        let mut config = keys(json!({"cniVersion": version, "name": "n", "type": "x", "ipam": ipam}));
        config.extend(keys(more));
        Value::Object(config)
    };
    let address = json!({"addresses": ["10.0.0.2/24", "fd00::2/64"]});
    let mut all = vec![
        with("1.1.0", json!({}), json!({})),
        with("1.1.0", json!({"addresses": ["nonsense"]}), json!({})),
        with("1.1.0", json!({"addresses": 7}), json!({})),
        with("1.1.0", address.clone(), json!({"prevResult": {"cniVersion": "1.0.0"}})),
        with(
            "1.1.0",
            address.clone(),
            json!({"cni.dev/valid-attachments": [{"containerID": "c9", "ifname": "e"}]}),
        ),
    ];
    all.extend(["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"].map(|v| with(v, address.clone(), json!({}))));
    all.extend([3, 7, 11, 50, 51, 100].map(|code| with("1.1.0", json!({"error": code}), json!({}))));
    all
}

type Outcome = [Result<CniResult, CniError>; 5];

fn ipam(config: &Value, bench: &Bench, bundled: fn(&str) -> Option<&'static dyn Plugin>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    let bytes = config.to_string().into_bytes();
    let input = Input::from_stdin(&bytes, vec![bench.path().to_owned()], deadline).expect("good enough");
    let keep: Vec<AttachmentId> =
        manifold_cni::call::valid_attachments(&input.config).expect("a list").unwrap_or_default();
    let ipam = Ipam::of(&input, bundled).expect("a type").expect("named");
    let (at, nothing) = (attachment(), |()| CniResult::default());
    [
        ipam.add(&at),
        // CHECK passes over an executed plugin that does not speak the version, as over one that has no CHECK.
        ipam.check(&at).or_else(|e| if is_not_offered(&e) { Ok(()) } else { Err(e) }).map(nothing),
        ipam.del(&at.detach()).map(nothing),
        ipam.status().map(nothing),
        ipam.gc(&keep).map(nothing),
    ]
}

// Proves: CNI-DLG-6, CNI-DLG-3
#[test]
fn ipam_answers_the_same_linked_in_and_executed() {
    let bench = Bench::new();
    bench.example("fixed");
    for config in configs() {
        assert_eq!(ipam(&config, &bench, linked), ipam(&config, &bench, installed), "{config}");
    }
}

// Proves: CNI-DLG-6
#[test]
fn a_delegate_answers_the_same_bundled_and_executed() {
    let bench = Bench::new();
    bench.example("fixed");
    let (at, executed) = (attachment(), bench.executed("fixed"));
    for config in configs() {
        for verb in [Verb::Add, Verb::Del, Verb::Check, Verb::Status, Verb::Gc, Verb::Version] {
            let invocation = Invocation {
                verb,
                container: Some(&at.container),
                netns: Some(at.netns.clone()),
                ifname: Some(&at.ifname),
                args: at.args.clone(),
                path: &[bench.path().to_owned()],
                config: config.to_string().into_bytes(),
                deadline: Instant::now() + Duration::from_secs(20),
            };
            assert_eq!(
                Bundled::new(&Fixed).call(&invocation),
                executed.call(&invocation),
                "{verb:?} {config}"
            );
        }
    }
}
