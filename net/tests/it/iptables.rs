use std::process::Command;

use manifold_net::{Family, Net, iptables};

use crate::bed::empty;

fn may_have(family: Family, name: &str) -> bool {
    iptables::may_have_chain(family, "nat", &["OTHER".to_owned(), name.to_owned()])
}

fn sh(net: &Net, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    assert!(net.netns().run(|| command.status()).unwrap().unwrap().success(), "{script}");
}

#[test]
fn a_chain_is_seen_in_its_family_table_and_namespace_alone() {
    let (net, other) = (empty(), empty());
    sh(&net, "iptables -t nat -N CNI-four; ip6tables -t nat -N CNI-six; iptables -N CNI-filter");
    net.netns()
        .run(|| {
            assert!(may_have(Family::V4, "CNI-four") && may_have(Family::V6, "CNI-six"));
            assert!(!may_have(Family::V4, "CNI-six") && !may_have(Family::V6, "CNI-four"));
            assert!(!may_have(Family::V4, "CNI-filter") && !may_have(Family::V4, "CNI"));
        })
        .unwrap();
    let elsewhere = || may_have(Family::V4, "CNI-four") || may_have(Family::V6, "CNI-six");
    assert!(!other.netns().run(elsewhere).unwrap());
    sh(&net, "iptables -t nat -X CNI-four");
    assert!(!net.netns().run(|| may_have(Family::V4, "CNI-four")).unwrap());
}
