//! Which host ports lead to which sandbox, as the table says: ours and the reference's rules alike.

use std::time::Instant;

use manifold_cni::CniError;
use manifold_net::Family;
use manifold_net::nft::expr::{Expression, NamedExpression, Payload};
use manifold_net::nft::schema::{NfListObject, Rule};
use manifold_net::nft::stmt::{Match, Operator, Statement};
use manifold_plugin_conf::portmap::Protocol;

use super::{ALL_PORTS, BY_ADDRESS, BY_PORT, TABLE, listed, nf_family};
use crate::interface::failure::Told;
use crate::interface::ruleset::tool;
use crate::meta::portmap::taken::Held;

/// Where the kernel knows of no mapping, the tool is not started; without the tool nobody can tell.
pub(in crate::meta::portmap) fn held(family: Family, deadline: Instant) -> Result<Vec<Held>, CniError> {
    let any = listed(family, deadline).told()?.iter().any(|rule| maps(&rule.chain, &rule.comment));
    let nft = match tool(deadline) {
        Ok(nft) if any => nft,
        _ => return Ok(Vec::new()),
    };
    let there = nft.list_table(nf_family(family), TABLE).told()?.unwrap_or_default();
    let rules = there.iter().filter_map(|object| match object {
        NfListObject::Rule(rule) => of_rule(rule),
        _ => None,
    });
    Ok(rules.collect())
}

/// A rule that says nothing of a sandbox is no pod's.
fn maps(chain: &str, comment: &str) -> bool {
    [BY_ADDRESS, BY_PORT, ALL_PORTS].contains(&chain) && !comment.is_empty()
}

fn of_rule(rule: &Rule<'_>) -> Option<Held> {
    let comment = rule.comment.as_deref().unwrap_or_default();
    if !maps(&rule.chain, comment) {
        return None;
    }
    let mut held = Held {
        port: 0,
        protocol: Protocol::Tcp,
        host: None,
        conditional: false,
        id: sandbox(comment).to_owned(),
    };
    for statement in rule.expr.iter() {
        if let Statement::Match(condition) = statement {
            take_in(&mut held, condition);
        }
    }
    (held.port != 0).then_some(held)
}

/// The port with its protocol, and the address; whatever else stands there narrows the mapping.
fn take_in(held: &mut Held, condition: &Match<'_>) {
    let Match { left, right, op } = condition;
    let of_packet = match left {
        Expression::Named(NamedExpression::Payload(Payload::PayloadField(of))) if *op == Operator::EQ => {
            Some(of)
        }
        _ => None,
    };
    let field = of_packet.map(|of| (of.protocol.as_ref(), of.field.as_ref()));
    let known = match (field, right) {
        (Some((protocol, "dport")), Expression::Number(port)) => {
            held.port = u16::try_from(*port).unwrap_or_default();
            named(protocol).map(|protocol| held.protocol = protocol)
        }
        (Some(("ip" | "ip6", "daddr")), Expression::String(address)) => {
            address.parse().ok().map(|address| held.host = Some(address))
        }
        _ => None,
    };
    held.conditional |= known.is_none();
}

fn named(protocol: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|known| known.as_str() == protocol)
}

/// Ours names the sandbox last, and may have been cut before it or within it; the reference writes nothing else.
fn sandbox(comment: &str) -> &str {
    match (comment.split_once(", id: "), comment.contains(", net: ")) {
        (Some((_, id)), _) => id,
        (None, true) => "",
        (None, false) => comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::masquerade::Key;

    // Shows part of: S-24
    #[test]
    fn the_sandbox_is_read_from_our_comment_and_from_the_references() {
        let key = |network: &str| {
            let network = network.parse().unwrap();
            Key { network: &network, container: "0123456789abcdef", ifname: "eth0" }.comment()
        };
        assert_eq!(sandbox(&key("blue")), "0123456789abcdef");
        assert_eq!(sandbox("0123456789abcdef"), "0123456789abcdef");
        let cut = key(&"n".repeat(70));
        assert!("0123456789abcdef".starts_with(sandbox(&cut)) && sandbox(&cut).len() < 16, "{cut}");
        assert_eq!(sandbox(&key(&"n".repeat(200))), "");
    }
}
