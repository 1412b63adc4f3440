//! How one attachment's rules are told from all others: names and comments, the same as the reference writes.

use std::collections::HashSet;
use std::fmt::Write;

use manifold_cni::{Attachment, AttachmentId, Detachment, Input, NetworkName};
use sha2::{Digest, Sha512};

use crate::interface::ruleset::COMMENT_MOST;

/// One attachment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) network: &'a NetworkName,
    pub(crate) container: &'a str,
    pub(crate) ifname: &'a str,
}

impl<'a> Key<'a> {
    pub(crate) fn of(input: &'a Input, at: &'a Attachment) -> Self {
        Self { network: &input.name, container: at.container.as_str(), ifname: at.ifname.as_str() }
    }

    pub(crate) fn of_detachment(input: &'a Input, at: &'a Detachment) -> Self {
        Self { network: &input.name, container: at.container.as_str(), ifname: at.ifname.as_str() }
    }
}

impl Key<'_> {
    /// What every nftables comment of this attachment begins with.
    pub(crate) fn instance(&self) -> String {
        format!("{}-{}", network_hash(self.network), hash(16, &[self.ifname, ":", self.container]))
    }

    pub(crate) fn comment(&self) -> String {
        let mut text = format!(
            "{}, net: {}, if: {}, id: {}",
            self.instance(),
            self.network,
            self.ifname,
            self.container
        );
        // An interface name may hold any character; all else is ASCII.
        text.retain(|c| c != '"' && c != '\\');
        while text.len() > COMMENT_MOST {
            text.pop();
        }
        text
    }

    /// The iptables chain: one for all interfaces of a container on the network.
    pub(crate) fn chain(&self) -> String {
        format!("CNI-{}", hash(24, &[self.network.as_str(), self.container]))
    }

    /// The comment of every iptables rule.
    pub(crate) fn iptables_comment(&self) -> String {
        iptables_comment(self.network, self.container)
    }
}

/// Digits of an instance: two hashes and the dash between them.
const INSTANCE: usize = 33;

/// Which nftables comments GC removes: those of the network's attachments that are not kept.
pub(crate) fn stale(network: &NetworkName, keep: &[AttachmentId]) -> impl Fn(&str) -> bool {
    let ours = format!("{}-", network_hash(network));
    let kept: HashSet<String> = keep
        .iter()
        .map(|id| Key { network, container: &id.container, ifname: &id.ifname }.instance())
        .collect();
    move |comment| {
        comment.starts_with(&ours) && !comment.get(..INSTANCE).is_some_and(|instance| kept.contains(instance))
    }
}

pub(crate) fn network_hash(network: &NetworkName) -> String {
    hash(16, &[network.as_str()])
}

pub(crate) fn iptables_comment(network: &NetworkName, container: &str) -> String {
    format!("name: \"{network}\" id: \"{container}\"")
}

/// The first hexadecimal digits of the SHA-512 of the pieces, one after the other.
pub(crate) fn hash(digits: usize, pieces: &[&str]) -> String {
    let mut sha = Sha512::new();
    for piece in pieces {
        sha.update(piece.as_bytes());
    }
    let mut text = String::with_capacity(128);
    for byte in sha.finalize() {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(network: &NetworkName) -> Key<'_> {
        Key { network, container: "1234567890", ifname: "eth0" }
    }

    // Proves: PLG-COM-20, PLG-COM-21
    #[test]
    fn names_are_hashes_cut_to_what_the_tools_take() {
        let network = "test".parse().unwrap();
        let chain = key(&network).chain();
        assert_eq!(chain.len(), 28);
        assert_eq!(chain, "CNI-ec6be9dbcd78350c3690950e");
        let instance = key(&network).instance();
        assert_eq!(instance.len(), 33);
        assert!(
            key(&network).comment().starts_with(&format!("{instance}, net: test, if: eth0, id: 1234567890"))
        );
        assert!(instance.starts_with("ee26b0dd4af7e749-"));
    }

    #[test]
    fn stale_are_comments_of_the_network_that_no_kept_attachment_wrote() {
        let (network, other) = ("test".parse().unwrap(), "other".parse().unwrap());
        let keep = [AttachmentId { container: "1234567890".into(), ifname: "eth0".into() }];
        let condemned = stale(&network, &keep);
        assert!(!condemned(&key(&network).comment()));
        assert!(condemned(&Key { ifname: "eth1", ..key(&network) }.comment()));
        assert!(!condemned(&Key { ifname: "eth1", ..key(&other) }.comment()));
        assert!(!condemned("") && !condemned("somebody else's"));
    }

    #[test]
    fn a_long_comment_keeps_its_hashes() {
        let network: NetworkName = "n".repeat(200).parse().unwrap();
        let comment = key(&network).comment();
        assert!(comment.len() <= COMMENT_MOST && comment.starts_with(&key(&network).instance()));
    }
}
