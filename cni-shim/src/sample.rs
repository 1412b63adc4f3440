//! What tests beside the code begin with: a shim with a state folder of its own, and what the ledger holds.

use std::path::Path;
use std::time::Instant;

use manifold_cni::Version;
use manifold_ledger::{BootId, Entry, Exact, Found, Recorded, RecordedPlugin, Stage, State, Status};

use crate::config::Config;
use crate::shim::Shim;

/// Its default network is the loopback, which needs nothing.
pub(crate) fn shim(state: &Path) -> Shim {
    let entry = format!(
        r#"{{"cniVersion":"1.1.0","name":"m","stateDir":"{0}","cniDir":"{0}/multus",
            "delegates":[{{"cniVersion":"1.1.0","name":"cluster","type":"loopback"}}]}}"#,
        state.display()
    );
    let config = Config::parse(entry.as_bytes()).unwrap();
    Shim { config, folders: Vec::new(), began: Instant::now(), cluster: None, netns_override: None }
}

pub(crate) fn recorded(network: &str, ifname: &str, kind: &str) -> Recorded {
    let config = Exact(format!(r#"{{"type":"{kind}"}}"#).into_bytes());
    Recorded {
        display: format!("shop/{network}"),
        network: network.parse().unwrap(),
        ifname: ifname.parse().unwrap(),
        default: ifname == "eth0",
        version: Version::NEWEST,
        disable_check: false,
        disable_gc: false,
        plugins: vec![RecordedPlugin {
            kind: kind.parse().unwrap(),
            found: Found::Bundled,
            config,
            executables: Vec::new(),
        }],
        runtime: Default::default(),
        args_add: String::new(),
        args_del: String::new(),
        device_info_file: None,
        state: State::Attached,
        result: None,
        took: None,
    }
}

pub(crate) fn entry(container: &str, attachments: Vec<Recorded>) -> Entry {
    Entry {
        boot: BootId::new("boot").unwrap(),
        container: container.parse().unwrap(),
        pod: None,
        netns: None,
        created: 0,
        config_name: "m".parse().unwrap(),
        attachments,
        status_text: None,
        status: Status::None,
        stage: Stage::Complete,
        failures: None,
        netns_gone: None,
        answered: None,
    }
}
