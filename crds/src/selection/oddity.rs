//! What in an annotation has no effect: Multus passes over it, and so does this crate, which says so.

use super::Place;

/// Something that was passed over: where it is, what is odd about it, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{what}; {fix}")]
pub struct Oddity {
    /// Where.
    pub place: Place,
    /// What is odd there.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl Oddity {
    pub(super) fn new(place: Place, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, what: what.into(), fix: fix.into() }
    }

    /// Templates write keys for which nobody gave a value.
    pub(super) fn empty(place: Place) -> Self {
        Self::new(place, "it is empty, so it counts as absent", "give it a value, or leave it out")
    }

    /// `meant` is the key that the writer probably had in mind.
    pub(super) fn unknown(place: Place, key: &str, meant: Option<&str>) -> Self {
        let fix = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let key = manifold_cni::name::printable(key);
                format!("remove it, or rename it `example.com/{key}` if another program reads it")
            }
        };
        Self::new(place, "there is no such key, so it has no effect", fix)
    }
}
