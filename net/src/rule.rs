//! Policy routing rules: which table a packet is looked up in.

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};

use crate::error::NetError;
use crate::net::{Family, Net};

/// A rule that sends packets to a table. Rules of other actions are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Of the addresses.
    pub family: Family,
    /// `None` lets the kernel choose the place before all others of this kind.
    pub priority: Option<u32>,
    /// From these addresses only.
    pub src: Option<IpNet>,
    /// To these addresses only.
    pub dst: Option<IpNet>,
    /// Only what came in by this link.
    pub iif: Option<String>,
    /// Only what has this mark.
    pub fwmark: Option<u32>,
    /// Where packets are looked up.
    pub table: u32,
}

impl Rule {
    /// "Packets from this network are looked up in that table."
    pub fn from_source(src: IpNet, table: u32) -> Self {
        let family = Family::of(src.addr());
        Self { family, priority: None, src: Some(src), dst: None, iif: None, fwmark: None, table }
    }

    fn text(&self) -> String {
        match self.src {
            Some(src) => format!("from `{src}` to table {}", self.table),
            None => format!("to table {}", self.table),
        }
    }

    fn write(&self) -> RuleMessage {
        let length = |net: &Option<IpNet>| net.map_or(0, |net| net.prefix_len());
        let mut message = RuleMessage::default();
        message.header = RuleHeader {
            family: self.family.code(),
            src_len: length(&self.src),
            dst_len: length(&self.dst),
            table: u8::try_from(self.table).unwrap_or(0),
            action: RuleAction::ToTable,
            ..RuleHeader::default()
        };
        let attributes = &mut message.attributes;
        attributes.extend(self.src.map(|net| RuleAttribute::Source(net.addr())));
        attributes.extend(self.dst.map(|net| RuleAttribute::Destination(net.addr())));
        attributes.extend(self.iif.clone().map(RuleAttribute::Iifname));
        attributes.extend(self.fwmark.map(RuleAttribute::FwMark));
        attributes.extend(self.priority.map(RuleAttribute::Priority));
        attributes.push(RuleAttribute::Table(self.table));
        message
    }

    fn read(message: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = message else { return None };
        let header = message.header;
        if header.action != RuleAction::ToTable {
            return None;
        }
        let family = Family::from_code(header.family)?;
        // The kernel leaves out a priority of 0.
        let mut rule = Self {
            family,
            priority: Some(0),
            src: None,
            dst: None,
            iif: None,
            fwmark: None,
            table: header.table.into(),
        };
        for attribute in message.attributes {
            match attribute {
                RuleAttribute::Source(ip) => rule.src = IpNet::new(ip, header.src_len).ok(),
                RuleAttribute::Destination(ip) => rule.dst = IpNet::new(ip, header.dst_len).ok(),
                RuleAttribute::Iifname(name) => rule.iif = Some(name),
                RuleAttribute::FwMark(mark) => rule.fwmark = Some(mark),
                RuleAttribute::Priority(priority) => rule.priority = Some(priority),
                RuleAttribute::Table(table) => rule.table = table,
                _ => {}
            }
        }
        Some(rule)
    }
}

impl Net {
    /// The rules of a family, in the order in which they are tried.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn rules(&self, family: Family) -> Result<Vec<Rule>, NetError> {
        let mut message = RuleMessage::default();
        message.header.family = family.code();
        match self.dump(|| format!("list the {family:?} rules"), RouteNetlinkMessage::GetRule(message)) {
            Ok(answers) => Ok(answers.into_iter().filter_map(Rule::read).collect()),
            Err(error) if family == Family::V6 && error.is_unsupported() => Ok(Vec::new()), // IPv6 is off.
            Err(error) => Err(error),
        }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// If the rule is there already.
    pub fn add_rule(&self, rule: &Rule) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::NewRule(rule.write());
        self.request(|| format!("add rule {}", rule.text()), message, NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Removes the first rule that has everything the description names; none is an error that says so.
    ///
    /// # Errors
    /// If there is no such rule.
    pub fn del_rule(&self, rule: &Rule) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::DelRule(rule.write());
        self.request(|| format!("remove rule {}", rule.text()), message, 0).map(drop)
    }
}
