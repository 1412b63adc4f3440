use super::*;

fn object(raw: &str) -> RawObject {
    RawObject::parse(raw.as_bytes()).unwrap()
}

fn read(raw: &str) -> Result<PortmapConf, Problem> {
    PortmapConf::read(&object(raw))
}

#[track_caller]
fn refused(raw: &str, pointer: &str, part: &str) {
    let problem = read(raw).unwrap_err();
    assert_eq!(problem.pointer, pointer, "{problem}");
    assert!(problem.sentence.contains(part), "{problem}");
}

// Proves: PLG-PORTMAP-1
#[test]
fn every_key_is_read_and_has_its_default() {
    let conf = read("{}").unwrap();
    assert!(conf.snat && !conf.masq_all && conf.backend().is_none());
    assert!(conf.mark_masq_bit.is_none() && conf.external_set_mark_chain.is_none());
    assert_eq!(MarkBit::USUAL.mask(), 0x2000);
    let conf = read(r#"{"snat":false,"masqAll":true,"markMasqBit":31,"backend":"iptables","conditionsV4":["-s","10.0.0.0/8"]}"#)
        .unwrap();
    assert!(!conf.snat && conf.masq_all);
    assert_eq!((conf.mark_masq_bit.unwrap().mask(), conf.conditions_v4.len()), (1 << 31, 2));
    assert_eq!(read(r#"{"markMasqBit":0}"#).unwrap().mark_masq_bit.unwrap().mask(), 1);
    assert_eq!(
        read(r#"{"externalSetMarkChain":"KUBE-MARK-MASQ"}"#)
            .unwrap()
            .external_set_mark_chain
            .unwrap()
            .as_str(),
        "KUBE-MARK-MASQ"
    );
    refused(r#"{"markMasqBit":32}"#, "/markMasqBit", "not a bit of the packet mark");
    refused(r#"{"markMasqBit":-1}"#, "/markMasqBit", "not a bit of the packet mark");
    refused(r#"{"markMasqBit":3,"externalSetMarkChain":"X"}"#, "/externalSetMarkChain", "use one of them");
    refused(r#"{"backend":"ebpf"}"#, "/backend", "`ebpf` is not a backend");
    for chain in ["-x", "a b", "a\\n-j DROP", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012"] {
        refused(
            &format!(r#"{{"externalSetMarkChain":"{chain}"}}"#),
            "/externalSetMarkChain",
            "cannot be a chain",
        );
    }
}

// Proves: PLG-PORTMAP-2
#[test]
fn options_of_the_other_backend_are_listed_and_conditions_are_told_by_their_first_sign() {
    use PortmapBackend::{Iptables, Nftables};
    let backend = |raw: &str| read(raw).unwrap().backend();
    assert_eq!(backend(r#"{"conditionsV4":["-s","10.0.0.0/8"]}"#), Some(Iptables));
    assert_eq!(backend(r#"{"conditionsV6":["!","-s","fd00::/8"]}"#), Some(Iptables));
    assert_eq!(backend(r#"{"conditionsV4":["ip","saddr","10.0.0.0/8"]}"#), Some(Nftables));
    assert_eq!(backend(r#"{"markMasqBit":3}"#), Some(Iptables));
    assert_eq!(backend(r#"{"backend":"nftables"}"#), Some(Nftables));
    refused(
        r#"{"backend":"nftables","markMasqBit":3,"conditionsV4":["-s","x"],"conditionsV6":["ip6","saddr","x"]}"#,
        "/conditionsV4",
        "`conditionsV4`, `markMasqBit` do not belong to the backend `nftables`",
    );
    refused(
        r#"{"backend":"nftables","externalSetMarkChain":"X"}"#,
        "/externalSetMarkChain",
        "`externalSetMarkChain`",
    );
    refused(
        r#"{"backend":"iptables","conditionsV6":["ip6","saddr","x"]}"#,
        "/conditionsV6",
        "`conditionsV6`",
    );
    refused(
        r#"{"conditionsV4":["-s","x"],"conditionsV6":["ip6","saddr","x"]}"#,
        "/conditionsV6",
        "`conditionsV6`",
    );
    for word in ["x; drop", "x\\ny", "a # b", "\\\"x"] {
        refused(&format!(r#"{{"conditionsV4":["ip","{word}"]}}"#), "/conditionsV4/1", "would end its rule");
    }
}

#[track_caller]
fn mapped(raw: &str) -> Result<Vec<PortMapping>, Problem> {
    mappings(&object(&format!(r#"{{"runtimeConfig":{{"portMappings":{raw}}}}}"#)))
}

// Proves: PLG-PORTMAP-3
#[test]
fn mappings_have_ports_a_protocol_and_perhaps_an_address() {
    assert_eq!(mappings(&object("{}")).unwrap(), []);
    assert_eq!(mapped("null").unwrap(), []);
    let all = mapped(
        r#"[{"hostPort":8080,"containerPort":80},{"hostPort":53,"containerPort":53,"protocol":"UDP","hostIP":"0.0.0.0"},
            {"hostPort":1,"containerPort":65535,"protocol":"Sctp","hostIP":"fd00::1"}]"#,
    )
    .unwrap();
    let is = |n: usize, host_port, container_port, protocol, host_ip: Option<&str>| {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        assert_eq!(all.get(n), Some(&PortMapping { host_port, container_port, protocol, host_ip }));
    };
    is(0, 8080, 80, Protocol::Tcp, None);
    is(1, 53, 53, Protocol::Udp, Some("0.0.0.0"));
    is(2, 1, 65535, Protocol::Sctp, Some("fd00::1"));
    for (raw, key) in [
        (r#"{"hostPort":0,"containerPort":1}"#, "hostPort"),
        (r#"{"containerPort":1}"#, "hostPort"),
        (r#"{"hostPort":65536,"containerPort":1}"#, "hostPort"),
        (r#"{"hostPort":1,"containerPort":-1}"#, "containerPort"),
        (r#"{"hostPort":1,"containerPort":1,"protocol":"icmp"}"#, "protocol"),
        (r#"{"hostPort":1,"containerPort":1,"hostIP":"localhost"}"#, "hostIP"),
    ] {
        let problem = mapped(&format!(r#"[{{"hostPort":9,"containerPort":9}},{raw}]"#)).unwrap_err();
        assert_eq!(problem.pointer, format!("/runtimeConfig/portMappings/1/{key}"), "{problem}");
    }
}

#[test]
fn the_capitals_of_containerd_are_read() {
    let sent = r#"[{"HostPort":18081,"ContainerPort":80,"Protocol":"udp","HostIP":"192.0.2.1"}]"#;
    let plain = r#"[{"hostPort":18081,"containerPort":80,"protocol":"udp","hostIP":"192.0.2.1"}]"#;
    let read = |list: &str| mapped(list).unwrap();
    assert_eq!(read(sent), read(plain));
}
