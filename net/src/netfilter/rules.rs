//! Which chains and rules there are, by what they are called and what their comments say (`NFT_MSG_GETCHAIN`,
//! `NFT_MSG_GETRULE` of the kernel's `nf_tables.h`). What a rule does is not read.

use std::io;

use netlink_packet_core::NLM_F_DUMP;

use super::{attribute, exchange, message, open, put};

/// Subsystem 10 (nftables) with the message's own number.
const GET_CHAIN: u16 = (10 << 8) | 4;
const GET_RULE: u16 = (10 << 8) | 7;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_USERDATA: u16 = 7;
/// What `nft` keeps beside a rule begins with a kind and a length of one byte each.
const COMMENT: u8 = 0;

/// How often a listing is begun anew because somebody changed the rules meanwhile.
const ATTEMPTS: usize = 8;

/// A rule's chain, handle and comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) chain: String,
    pub(crate) handle: u64,
    pub(crate) comment: String,
}

/// The rules of a table in the order of its chains; none if there is no such table.
pub(crate) fn rules(protocol: u8, table: &str) -> io::Result<Vec<Found>> {
    let mut wanted = Vec::new();
    put(&mut wanted, RULE_TABLE, &[table.as_bytes(), b"\0"].concat());
    let all = listing(&message(GET_RULE, NLM_F_DUMP, protocol, &wanted), |rule| {
        // Kernels before 4.20 hand out all tables.
        (text(attribute(rule, RULE_TABLE)?) == table).then(|| found(rule))
    })?;
    all.into_iter().map(|rule| rule.ok_or_else(|| io::ErrorKind::InvalidData.into())).collect()
}

/// The names of a table's chains; none if there is no such table.
pub(crate) fn chains(protocol: u8, table: &str) -> io::Result<Vec<String>> {
    listing(&message(GET_CHAIN, NLM_F_DUMP, protocol, &[]), |chain| {
        let is_there = text(attribute(chain, CHAIN_TABLE)?) == table;
        is_there.then(|| attribute(chain, CHAIN_NAME).map(text)).flatten()
    })
}

fn listing<T>(request: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<T>> {
    let mut attempts = ATTEMPTS;
    loop {
        let mut all = Vec::new();
        attempts -= 1;
        // A new socket each time: of an interrupted listing, nothing is left to come.
        match exchange(&mut open()?, request, |attributes| all.extend(read(attributes))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && attempts > 0 => {}
            done => return done.map(|()| all),
        }
    }
}

fn found(rule: &[u8]) -> Option<Found> {
    Some(Found {
        chain: text(attribute(rule, RULE_CHAIN)?),
        handle: u64::from_be_bytes(*attribute(rule, RULE_HANDLE)?.first_chunk()?),
        comment: attribute(rule, RULE_USERDATA).and_then(comment).map(text).unwrap_or_default(),
    })
}

fn comment(userdata: &[u8]) -> Option<&[u8]> {
    let mut rest = userdata;
    while let Some(([kind, length], values)) = rest.split_first_chunk::<2>() {
        let (value, others) = values.split_at_checked((*length).into())?;
        if *kind == COMMENT {
            return Some(value);
        }
        rest = others;
    }
    None
}

/// Up to the zero byte that ends it.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_behind_other_data_and_none_in_what_is_cut_off() {
        assert_eq!(comment(&[2, 1, 9, COMMENT, 3, b'a', b'b', 0]).map(text), Some("ab".to_owned()));
        assert_eq!(comment(&[COMMENT, 9, b'a']), None);
        assert_eq!(comment(&[2, 1, 9]), None);
        assert_eq!(comment(&[]), None);
    }

    #[test]
    fn a_rule_without_its_handle_is_not_taken_for_one() {
        let mut rule = Vec::new();
        put(&mut rule, RULE_CHAIN, b"pods\0");
        assert_eq!(found(&rule), None);
        put(&mut rule, RULE_HANDLE, &7_u64.to_be_bytes());
        let expected = Found { chain: "pods".into(), handle: 7, comment: String::new() };
        assert_eq!(found(&rule), Some(expected));
    }
}
