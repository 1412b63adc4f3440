//! Names, addresses and versions: every type that a word of somebody's becomes.

use std::fmt::Display;
use std::str::FromStr;

use manifold_addresses::moment::BootId;
use manifold_cni::{ContainerId, IfName, NetworkName, PluginType, Version};
use manifold_crds::ipam::{BlockCidr, Domain, NodeName, NodeUid, Offset, PoolName, StoreId};
use manifold_crds::{
    ClaimName, DeviceId, Guid, IpRequest, Mac, NadName, Namespace, PodName, PodUid, ResourceName, address,
};
use manifold_plugin_conf::{PciAddress, address as configured};

use super::text;
use crate::Answer;

/// What a type makes of a word: the value printed, or the sentence.
type Read = fn(&str) -> Result<String, String>;

/// Parses, prints, and does both again.
fn name<T: FromStr + Display + PartialEq + std::fmt::Debug>(word: &str) -> Result<String, String>
where
    T::Err: Display,
{
    same_again(word, |word| word.parse::<T>().map_err(|e| e.to_string()))
}

fn same_again<T: Display + PartialEq + std::fmt::Debug>(
    word: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<String, String> {
    let value = parse(word)?;
    let printed = value.to_string();
    let again = parse(&printed);
    assert_eq!(again.as_ref(), Ok(&value), "`{word}` is printed as `{printed}`");
    assert_eq!(again.map(|value| value.to_string()).as_ref(), Ok(&printed));
    Ok(printed)
}

const TYPES: [(&str, Read); 26] = [
    ("interface", name::<IfName>),
    ("container", name::<ContainerId>),
    ("network", name::<NetworkName>),
    ("plugin", name::<PluginType>),
    ("namespace", name::<Namespace>),
    ("definition", name::<NadName>),
    ("pod", name::<PodName>),
    ("claim", name::<ClaimName>),
    ("uid", name::<PodUid>),
    ("resource", name::<ResourceName>),
    ("device", name::<DeviceId>),
    ("mac", name::<Mac>),
    ("guid", name::<Guid>),
    ("ip", name::<IpRequest>),
    ("gateway", |word| same_again(word, |word| address::gateway(word).map_err(|e| e.to_string()))),
    ("configured-mac", name::<manifold_plugin_conf::Mac>),
    ("configured-ip", |word| same_again(word, configured::ip)),
    ("configured-cidr", |word| same_again(word, configured::cidr)),
    ("configured-network", |word| same_again(word, configured::network)),
    ("pci", name::<PciAddress>),
    ("domain", name::<Domain>),
    ("pool", name::<PoolName>),
    ("node", name::<NodeName>),
    ("store", name::<StoreId>),
    ("block", name::<BlockCidr>),
    ("version", name::<Version>),
];

/// `type word`, or a word alone that every type is asked about.
pub(super) fn all(input: &[u8]) -> Answer {
    let text = text(input);
    let (kind, word) = text.split_once(' ').unwrap_or(("", &text));
    for (_, read) in TYPES {
        let _ = (read(&text), read(word));
    }
    unnamed(&text);
    match TYPES.iter().find(|(name, _)| *name == kind).map(|(_, read)| read(word)) {
        Some(Ok(printed)) => Answer::Accepted(printed),
        Some(Err(sentence)) => Answer::refused(sentence),
        None => {
            let by = TYPES.iter().filter(|(_, read)| read(&text).is_ok()).map(|(name, _)| *name);
            Answer::Accepted(format!("as {}", by.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Types whose words no corpus file has.
fn unnamed(word: &str) {
    let _ = (name::<NodeUid>(word), name::<Offset>(word), name::<BootId>(word));
    let _ = configured::ip_or_cidr(word);
    if let Ok((domain, block)) = BlockCidr::parse_object_name(word) {
        assert_eq!(block.object_name(&domain), word);
    }
    if let Ok(reference) = manifold_crds::NadRef::parse(word, &super::home()) {
        assert_eq!(manifold_crds::NadRef::parse(&reference.to_string(), &super::home()), Ok(reference));
    }
    // What is shown of a word is one line, and not much longer than what was there.
    let shown = manifold_cni::name::printable(word);
    assert!(!shown.contains(['\n', '\r', '\u{1b}', '`']) && shown.len() <= 1300, "{shown:?}");
    let line = manifold_cni::log_line::each_line(word.as_bytes());
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), word.bytes().filter(|b| *b == b'\n').count());
}
