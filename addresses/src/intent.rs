//! Intents: which block somebody is about to ask for. Durable before the request is sent.
//!
//! Whoever takes the claiming lock finds only intents of the dead, and settles each before anything else is done with
//! its block: what the API server gave is taken up or given back, what it did not give is forgotten.

use manifold_crds::ipam::BlockCidr;

use crate::file::{self, Damage, value};

const KIND: &str = "intent";

/// That a block is about to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intent {
    /// Which.
    pub block: BlockCidr,
}

impl Intent {
    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        file::seal(KIND, &[format!("claim block={}", self.block)])
    }

    /// Reads its file. One that is damaged was never followed by a request: it is removed.
    ///
    /// # Errors
    /// Anything but exactly what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let lines = file::open(KIND, bytes)?;
        let [line] = lines.as_slice() else { return Err(Damage::Line(2)) };
        let block = value(line.strip_prefix("claim "), "block").and_then(|raw| raw.parse().ok());
        Ok(Self { block: block.ok_or(Damage::Line(2))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_comes_back_as_it_was_written_or_not_at_all() {
        let intent = Intent { block: "10.1.7.16".parse().unwrap() };
        let whole = intent.encode();
        assert_eq!(Intent::decode(&whole), Ok(intent));
        for end in 0..whole.len() {
            assert!(Intent::decode(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}
