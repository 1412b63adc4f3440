//! Bytes that must come back as they were: a configuration, a result, a runtime value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes kept to the last blank. On disk they are a JSON string where they are UTF-8, so that a person can read the
/// entry, and base64 where they are not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Exact(pub Vec<u8>);

impl Exact {
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// Length only: a configuration may hold a secret (S-2).
impl std::fmt::Debug for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exact({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Exact {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Exact {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&serde_json::value::RawValue> for Exact {
    fn from(raw: &serde_json::value::RawValue) -> Self {
        Self(raw.get().as_bytes().to_vec())
    }
}

impl AsRef<[u8]> for Exact {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Binary { base64: String },
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => s.serialize_str(text),
            Err(_) => Wire::Binary { base64: STANDARD.encode(&self.0) }.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Wire::deserialize(d)? {
            Wire::Text(text) => Ok(Self(text.into_bytes())),
            Wire::Binary { base64 } => STANDARD.decode(base64).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn comes_back(bytes: &[u8]) {
        let json = serde_json::to_string(&Exact::from(bytes)).unwrap();
        assert_eq!(serde_json::from_str::<Exact>(&json).unwrap().as_slice(), bytes, "{json}");
    }

    #[test]
    fn text_and_binary_come_back_byte_for_byte() {
        comes_back(b"");
        comes_back(b" {\"a\" : 1e999 , \"b\":\"\\u0041\"}\n");
        comes_back("é\u{2028}".as_bytes());
        comes_back(&[0, 255, 10, 13]);
    }

    // Proves: S-2
    #[test]
    fn debug_output_shows_no_content() {
        assert_eq!(format!("{:?}", Exact::from(&b"secret"[..])), "Exact(6 bytes)");
    }
}
