//! Why the status of a pod is not at the API server.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason, as the plugin leaves it to the node agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// The API server knows a static pod by its mirror, which has another UID and may not be there yet.
    StaticPod,
    /// A plain pod starts without one call to the API server.
    PlainPod,
    /// The plugin asked for it, and this came of it.
    Failed(String),
}

/// The reasons that are no failures, as an entry has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reason {
    StaticPod,
    PlainPod,
}

/// How earlier releases wrote the reasons: as sentences that begin so.
const STATIC_POD: &str = "static pod";
const PLAIN_POD: &str = "plain pod";

impl Unpublished {
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::StaticPod => Some(Reason::StaticPod),
            Self::PlainPod => Some(Reason::PlainPod),
            Self::Failed(_) => None,
        }
    }

    /// From an entry. One of an earlier release has no reason, and its sentence says it.
    pub(super) fn read(reason: Option<Reason>, sentence: String) -> Self {
        match reason {
            Some(Reason::StaticPod) => Self::StaticPod,
            Some(Reason::PlainPod) => Self::PlainPod,
            None if sentence.starts_with(STATIC_POD) => Self::StaticPod,
            None if sentence.starts_with(PLAIN_POD) => Self::PlainPod,
            None => Self::Failed(sentence),
        }
    }
}

impl fmt::Display for Unpublished {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaticPod => write!(to, "{STATIC_POD}: its mirror is published by the node agent"),
            Self::PlainPod => write!(to, "{PLAIN_POD}: published by the node agent"),
            Self::Failed(why) => to.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_back_with_and_without_its_own_field() {
        let failed = Unpublished::Failed("the API server did not answer".into());
        for why in [Unpublished::StaticPod, Unpublished::PlainPod, failed] {
            assert_eq!(Unpublished::read(why.reason(), why.to_string()), why);
            // As an earlier release wrote it.
            assert_eq!(Unpublished::read(None, why.to_string()), why);
        }
    }
}
