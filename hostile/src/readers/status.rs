//! The network-status annotation, and what is told about devices.

use manifold_crds::{DeviceInfo, status};

use super::text;
use crate::Answer;

/// The annotation, ours or somebody else's.
pub(super) fn network_status(input: &[u8]) -> Answer {
    let text = text(input);
    match status::parse(&text) {
        Err(bad) => Answer::refused(bad),
        Ok(entries) => {
            let printed = status::to_json(&entries);
            let again = status::parse(&printed);
            assert_eq!(again.as_ref().ok(), Some(&entries), "{printed}");
            Answer::Accepted(printed)
        }
    }
}

/// A device-info file.
pub(super) fn device_info(input: &[u8]) -> Answer {
    match DeviceInfo::parse(input) {
        Err(bad) => Answer::refused(bad),
        Ok(info) => {
            let printed = serde_json::to_vec(&info).expect("a description is JSON");
            assert_eq!(DeviceInfo::parse(&printed).ok().as_ref(), Some(&info), "{}", text(&printed));
            Answer::Accepted(text(&printed).into_owned())
        }
    }
}
