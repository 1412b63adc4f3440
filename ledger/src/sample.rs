//! Entries for tests.

use crate::executable::{ExecutableFile, FileIdentity};
use std::path::PathBuf;

use super::entry::Netns;
use super::*;
use crate::netns_id::NetnsId;

/// An entry with `n` attachments, the first being the default network.
pub(crate) fn entry(n: usize) -> Entry {
    Entry {
        boot: BootId::new("9f6c0f5e-3f0e-4d8a-b0a4-6a39c1b6f101").unwrap(),
        container: "5c1d2e3f".parse().unwrap(),
        pod: Some(PodIdentity {
            namespace: "shop".into(),
            name: "cart-7".into(),
            uid: Some("7d0c2b1e-0d3c-4a58-9f6c-000000000001".into()),
        }),
        netns: Some(Netns {
            path: PathBuf::from("/run/netns/cni-1"),
            id: Some(NetnsId { dev: 4, ino: 4_026_532_177, made: Some((1_700_000_000, 5)) }),
        }),
        created: 1_790_000_000,
        config_name: "manifold".parse().unwrap(),
        attachments: (0..n).map(attachment).collect(),
        status_text: None,
        status: Status::None,
        stage: Stage::Adding,
        failures: None,
        netns_gone: None,
        answered: None,
    }
}

pub(crate) fn attachment(n: usize) -> Recorded {
    let config = format!(
        "{{\"cniVersion\":\"1.1.0\",\"name\":\"net-{n}\",\"type\":\"bridge\",\"x\": 1e999, \"s\":\"\\u00e9é\"}}"
    );
    Recorded {
        display: format!("shop/net-{n}"),
        network: format!("net-{n}").parse().unwrap(),
        ifname: if n == 0 { "eth0".parse().unwrap() } else { format!("net{n}").parse().unwrap() },
        default: n == 0,
        version: manifold_cni::Version::V1_1_0,
        disable_check: false,
        disable_gc: n == 1,
        plugins: vec![
            RecordedPlugin {
                kind: "bridge".parse().unwrap(),
                found: Found::Bundled,
                config: config.clone().into_bytes().into(),
                executables: Vec::new(),
            },
            RecordedPlugin {
                kind: "whereabouts".parse().unwrap(),
                found: Found::Executed(PathBuf::from("/opt/cni/bin/whereabouts")),
                config: config.into_bytes().into(),
                executables: vec![ExecutableFile {
                    path: PathBuf::from("/opt/cni/bin/whereabouts"),
                    file: FileIdentity {
                        device: 1,
                        inode: 7,
                        bytes: 4096,
                        modified_seconds: 1,
                        modified_nanoseconds: 2,
                    },
                }],
            },
        ],
        runtime: [("mac".to_owned(), Exact::from(&b"\"02:00:00:00:00:01\""[..]))].into(),
        args_add: "IgnoreUnknown=1;K8S_POD_NAME=cart-7;MAC=02:00:00:00:00:01".into(),
        args_del: "IgnoreUnknown=1;K8S_POD_NAME=cart-7".into(),
        device_info_file: (n == 1).then(|| PathBuf::from("/var/run/k8s.cni.cncf.io/devinfo/cni/x")),
        state: State::Planned,
        result: None,
        took: None,
    }
}

/// As a finished ADD leaves it.
pub(crate) fn complete(n: usize) -> Entry {
    let mut entry = entry(n);
    entry.stage = Stage::Complete;
    entry.status = Status::Unpublished { why: Unpublished::Failed("the API server did not answer".into()) };
    entry.status_text = Some("[{\"name\":\"shop/net-0\"}]".into());
    for a in &mut entry.attachments {
        a.state = State::Attached;
        a.result =
            Some(Exact::from(&b"{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}"[..]));
    }
    entry
}
