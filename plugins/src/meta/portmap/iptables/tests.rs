use manifold_cni::RawObject;

use super::*;

fn conf(raw: &str) -> PortmapConf {
    PortmapConf::read(&RawObject::parse(raw.as_bytes()).unwrap()).unwrap()
}

fn wish(address: &str, ports: impl IntoIterator<Item = (u16, Protocol, Option<&'static str>)>) -> Wish {
    let mapping = |(host_port, protocol, ip): (u16, Protocol, Option<&str>)| PortMapping {
        host_port,
        container_port: 80,
        protocol,
        host_ip: ip.map(|ip| ip.parse().unwrap()),
    };
    Wish { address: address.parse().unwrap(), mappings: ports.into_iter().map(mapping).collect() }
}

// Proves: PLG-PORTMAP-6
#[test]
fn marks_come_before_the_mapping_and_entries_have_fifteen_ports_at_most() {
    let network: NetworkName = "blue".parse().unwrap();
    let key = Key { network: &network, container: "c1", ifname: "eth0" };
    let chain = chain(&key);
    assert!(chain.len() == 28 && chain.starts_with("CNI-DN-"), "{chain}");
    let wish = wish("10.1.0.2/24", (1..=17).map(|port| (port, Protocol::Tcp, None)));
    let lines = additions(&[], &conf("{}"), &key, &wish);
    assert_eq!(
        lines[..8],
        [
            "-N CNI-HOSTPORT-DNAT",
            "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            "-N CNI-HOSTPORT-SETMARK",
            "-A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark 0x2000/0x2000",
            "-N CNI-HOSTPORT-MASQ",
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
            "-I POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ",
        ]
    );
    assert_eq!(
        lines[9..12],
        [
            format!("-A {chain} -s 10.1.0.0/24 -p tcp -m tcp --dport 1 -j CNI-HOSTPORT-SETMARK"),
            format!("-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 1 -j CNI-HOSTPORT-SETMARK"),
            format!("-A {chain} -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.1.0.2:80"),
        ]
    );
    let comment = r#"-m comment --comment "dnat name: \"blue\" id: \"c1\"""#;
    let first: Vec<String> = (1..=15).map(|port| port.to_string()).collect();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            format!(
                "-I CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports {} -j {chain}",
                first.join(",")
            ),
            format!("-I CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports 16,17 -j {chain}"),
        ]
    );
    let long = Key { container: &"c".repeat(300), ..key };
    assert_eq!(super::comment(&long).len(), 255);
}

// Proves: PLG-PORTMAP-6, PLG-PORTMAP-3
#[test]
fn options_and_families_change_the_rules() {
    let network: NetworkName = "blue".parse().unwrap();
    let key = Key { network: &network, container: "c1", ifname: "eth0" };
    let of = |raw: &str, wish: &Wish| additions(&[], &conf(raw), &key, wish).join("\n");
    let v6 = wish("fd00::2/64", [(53, Protocol::Udp, Some("fd00::9"))]);
    let lines = of("{}", &v6);
    assert!(
        lines.contains("-s fd00::/64 -d fd00::9/128 -p udp -m udp --dport 53 -j CNI-HOSTPORT-SETMARK"),
        "{lines}"
    );
    assert!(lines.contains("--to-destination [fd00::2]:80") && !lines.contains("127.0.0.1"), "{lines}");
    let v4 = wish("10.1.0.2/24", [(1, Protocol::Sctp, Some("0.0.0.0"))]);
    let lines = of(r#"{"masqAll":true,"markMasqBit":0,"conditionsV4":["-s","192.0.2.0/24"]}"#, &v4);
    assert!(!lines.contains("-s 10.1.0.0/24") && !lines.contains("-d 0.0.0.0"), "{lines}");
    assert!(lines.contains("--set-xmark 0x1/0x1"), "{lines}");
    assert!(lines.contains("--dports 1 \"-s\" \"192.0.2.0/24\" -j CNI-DN-"), "{lines}");
    let lines = of(r#"{"externalSetMarkChain":"KUBE-MARK-MASQ"}"#, &v4);
    assert!(lines.contains("-j KUBE-MARK-MASQ") && !lines.contains("CNI-HOSTPORT-MASQ"), "{lines}");
    let lines = of(r#"{"snat":false}"#, &v4);
    assert!(!lines.contains("SETMARK") && !lines.contains("MASQ"), "{lines}");
}

#[test]
fn what_is_there_is_not_added_again_and_an_old_chain_is_made_anew() {
    let network: NetworkName = "blue".parse().unwrap();
    let key = Key { network: &network, container: "c1", ifname: "eth0" };
    let wish = wish("10.1.0.2/24", [(1, Protocol::Tcp, None)]);
    let there: Vec<String> =
        additions(&[], &conf("{}"), &key, &wish).iter().map(|line| line.replacen("-I ", "-A ", 1)).collect();
    let again = additions(&there, &conf("{}"), &key, &wish);
    let chain = chain(&key);
    assert!(again[0].starts_with("-D CNI-HOSTPORT-DNAT "), "{again:?}");
    assert_eq!(again[1..4], [format!("-F {chain}"), format!("-X {chain}"), format!("-N {chain}")]);
    assert_eq!(chains_of(&there, &network), [chain]);
    assert_eq!(chains_of(&there, &"blu".parse().unwrap()), [""; 0]);
}
