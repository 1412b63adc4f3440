use manifold_net::{Family, Rule};

use crate::bed::{empty, net as parse};

#[test]
fn rules_of_both_families_are_added_listed_and_removed() {
    let net = empty();
    for (family, source) in [(Family::V4, "10.1.2.3/32"), (Family::V6, "fd00::3/128")] {
        let before = net.rules(family).unwrap();
        assert!(before.iter().any(|r| r.table == 254 && r.src.is_none()), "{before:?}");
        let wish = Rule { priority: Some(100), ..Rule::from_source(parse(source), 1000) };
        net.add_rule(&wish).unwrap();
        assert!(net.rules(family).unwrap().contains(&wish));
        let error = net.add_rule(&wish).unwrap_err();
        assert!(error.is_exists() && error.to_string().contains(source), "{error}");
        net.del_rule(&wish).unwrap();
        assert!(net.del_rule(&wish).unwrap_err().is_not_found());
        assert_eq!(net.rules(family).unwrap(), before);
    }
}

#[test]
fn a_rule_without_priority_goes_before_those_of_the_main_table() {
    let net = empty();
    net.add_rule(&Rule::from_source(parse("10.1.2.3/32"), 100)).unwrap();
    let rules = net.rules(Family::V4).unwrap();
    let ours = rules.iter().find(|r| r.table == 100).unwrap();
    let main = rules.iter().find(|r| r.table == 254).unwrap();
    assert!(ours.priority < main.priority && ours.priority > Some(0));
}

#[test]
fn marks_and_interfaces_come_back() {
    let net = empty();
    let wish = Rule {
        family: Family::V4,
        priority: Some(7),
        src: None,
        dst: Some(parse("192.0.2.0/24")),
        iif: Some("eth7".into()),
        fwmark: Some(0x2000),
        table: 70_000,
    };
    net.add_rule(&wish).unwrap();
    assert!(net.rules(Family::V4).unwrap().contains(&wish));
}
