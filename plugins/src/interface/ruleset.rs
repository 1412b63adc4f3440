//! The few words of nftables that our rules are made of, and how they reach the kernel.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use manifold_net::nft::expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix};
use manifold_net::nft::schema::{Chain, NfListObject, Rule, Table};
use manifold_net::nft::stmt::{JumpTarget, Match, Operator, Statement};
use manifold_net::nft::types::NfFamily;
use manifold_net::nft::{ListedRule, Nft, NftError, kernel};

/// Longer comments are refused by the kernel.
pub(crate) const COMMENT_MOST: usize = 127;

/// What a call may still take that begins after the caller's deadline: the undoing of an ADD that ran out of time.
pub(crate) const LAST_GRACE: Duration = Duration::from_secs(2);

/// The tool, which works no longer than the caller waits.
pub(crate) fn tool(deadline: Instant) -> Result<Nft, NftError> {
    Ok(Nft::find()?.with_deadline(deadline.saturating_duration_since(Instant::now()).max(LAST_GRACE)))
}

/// The rules of a table, which the kernel tells without the tool; none where neither answers, as then nobody made any.
pub(crate) fn rules(
    family: NfFamily,
    table: &'static str,
    deadline: Instant,
) -> Result<Vec<ListedRule>, NftError> {
    if let Some(rules) = kernel::rules(family, table) {
        return Ok(rules);
    }
    match tool(deadline) {
        Err(NftError::NotInstalled { .. }) => Ok(Vec::new()),
        nft => nft?.list_rules(family, table),
    }
}

/// Where chains and rules live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    pub(crate) family: NfFamily,
    pub(crate) table: &'static str,
}

impl Home {
    pub(crate) fn table(self) -> NfListObject<'static> {
        NfListObject::Table(Table { family: self.family, name: self.table.into(), handle: None })
    }

    /// A chain that others jump to; base chains get further facts.
    pub(crate) fn chain(self, name: &str) -> Chain<'static> {
        Chain {
            family: self.family,
            table: self.table.into(),
            name: name.to_owned().into(),
            newname: None,
            handle: None,
            _type: None,
            hook: None,
            prio: None,
            dev: None,
            policy: None,
        }
    }

    pub(crate) fn rule(
        self,
        chain: &str,
        statements: Vec<Statement<'static>>,
        comment: Option<&str>,
    ) -> NfListObject<'static> {
        NfListObject::Rule(Rule {
            family: self.family,
            table: self.table.into(),
            chain: chain.to_owned().into(),
            expr: statements.into(),
            handle: None,
            index: None,
            comment: comment.map(|comment| comment.to_owned().into()),
        })
    }

    /// What a deletion names: the chain and the handle.
    pub(crate) fn rule_by_handle(self, chain: &str, handle: u32) -> NfListObject<'static> {
        let NfListObject::Rule(rule) = self.rule(chain, Vec::new(), None) else {
            unreachable!("it is a rule")
        };
        NfListObject::Rule(Rule { handle: Some(handle), ..rule })
    }
}

/// `ip saddr`, `ether saddr` …
pub(crate) fn field(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

pub(crate) fn incoming_interface() -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key: MetaKey::Iifname }))
}

pub(crate) fn text(value: impl ToString) -> Expression<'static> {
    Expression::String(value.to_string().into())
}

pub(crate) fn prefix(network: IpNet) -> Expression<'static> {
    // A prefix of one address is an address: nft prints it so, and refuses a length of zero bits left.
    if network.prefix_len() == network.max_prefix_len() {
        return text(network.addr());
    }
    let addr = Box::new(text(network.network()));
    Expression::Named(NamedExpression::Prefix(Prefix { addr, len: network.prefix_len().into() }))
}

pub(crate) fn equal(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

pub(crate) fn unequal(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

pub(crate) fn jump(chain: &str) -> Statement<'static> {
    Statement::Jump(JumpTarget { target: chain.to_owned().into() })
}

pub(crate) fn goto(chain: &str) -> Statement<'static> {
    Statement::Goto(JumpTarget { target: chain.to_owned().into() })
}

/// How nftables names the protocol an address is of.
pub(crate) fn protocol(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}
