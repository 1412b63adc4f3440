//! Entries for the tests of the ledger on real disks and in real processes.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use manifold_cni::{ContainerId, Version};
use manifold_ledger::{BootId, Entry, Exact, Found, Recorded, RecordedPlugin, Stage, State, Status};

pub(crate) fn id() -> ContainerId {
    "c0ffee".parse().unwrap()
}

pub(crate) fn entry(attachments: usize) -> Entry {
    Entry {
        boot: BootId::new("boot-1").unwrap(),
        container: id(),
        pod: None,
        netns: None,
        config_name: "manifold".parse().unwrap(),
        created: 0,
        attachments: (0..attachments).map(attachment).collect(),
        status_text: None,
        status: Status::None,
        stage: Stage::Adding,
        failures: None,
        netns_gone: None,
        answered: None,
    }
}

fn attachment(n: usize) -> Recorded {
    Recorded {
        display: format!("shop/net-{n}"),
        network: format!("net-{n}").parse().unwrap(),
        ifname: format!("net{n}").parse().unwrap(),
        default: n == 0,
        version: Version::V1_1_0,
        disable_check: false,
        disable_gc: false,
        plugins: vec![RecordedPlugin {
            kind: "bridge".parse().unwrap(),
            found: Found::Bundled,
            config: Exact::from(&br#"{"type":"bridge"}"#[..]),
            executables: Vec::new(),
        }],
        runtime: Default::default(),
        args_add: String::new(),
        args_del: String::new(),
        device_info_file: None,
        state: State::Planned,
        result: None,
        took: None,
    }
}

/// A result of `bytes` length.
pub(crate) fn result(bytes: usize) -> Option<Exact> {
    Some(Exact::from(vec![b' '; bytes]))
}
