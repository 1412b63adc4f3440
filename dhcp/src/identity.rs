//! Who holds a lease: one interface of one sandbox in one network.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What an option can hold beside its type byte.
const MOST: usize = 254;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId {
    pub container: String,
    pub network: String,
    pub ifname: String,
}

impl LeaseId {
    /// Option 61: type 0, then the name. By it the server knows the pod again whatever its MAC (PLG-DHCP-5).
    pub fn client_id(&self) -> Vec<u8> {
        let name = self.to_string().into_bytes();
        std::iter::once(0).chain(name.into_iter().take(MOST)).collect()
    }

    /// Safe as a file's name, whatever the network is called.
    pub fn file_name(&self) -> String {
        let digest = Sha256::digest(self.to_string().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".json"
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.container, self.network, self.ifname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-DHCP-5
    #[test]
    fn the_client_id_is_type_0_and_the_name_cut_to_254_bytes() {
        let id = |container: &str| LeaseId {
            container: container.into(),
            network: "net".into(),
            ifname: "net1".into(),
        };
        assert_eq!(id("c1").client_id(), b"\0c1/net/net1");
        let long = id(&"x".repeat(400)).client_id();
        assert_eq!((long.len(), long.first()), (255, Some(&0)));
    }

    #[test]
    fn file_names_are_plain_and_differ() {
        let id =
            |network: &str| LeaseId { container: "c".into(), network: network.into(), ifname: "i".into() };
        let name = id("../../etc").file_name();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'), "{name}");
        assert_ne!(name, id("b").file_name());
    }
}
