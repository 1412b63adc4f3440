//! What a delegate answers, in every version.

use manifold_cni::{CniResult, Version};
use manifold_crds::NetworkStatus;
use manifold_crds::status::{Described, Entries};

use super::{parsed, text};
use crate::Answer;

/// The answer of ADD.
pub(super) fn result(input: &[u8]) -> Answer {
    // One of each family.
    for fallback in [Version::V0_2_0, Version::V0_4_0, Version::V1_1_0] {
        if let Ok((result, version)) = CniResult::parse(input, fallback) {
            comes_back(&result, version);
            has_a_status(&result, version);
        }
    }
    match CniResult::parse(input, Version::NEWEST) {
        Err(error) => {
            assert!([1, 6].contains(&error.code), "{error:?}");
            error.into()
        }
        Ok((result, version)) => match result.to_json(version) {
            Ok(printed) => Answer::Accepted(text(&printed).into_owned()),
            Err(error) => error.into(),
        },
    }
}

/// Printed in any version, read and printed again it is the same; in the version that it came in nothing is lost.
fn comes_back(result: &CniResult, version: Version) {
    for target in Version::ALL {
        let Ok(printed) = result.to_json(target) else {
            assert!(!result.fits(target));
            continue;
        };
        assert!(result.fits(target));
        let again = CniResult::parse(&printed, Version::NEWEST);
        let (again, stated) = again.unwrap_or_else(|error| panic!("{error}: {}", text(&printed)));
        assert_eq!(stated, target);
        let once_more = again.to_json(target).map(|bytes| text(&bytes).into_owned());
        assert_eq!(once_more, Ok(text(&printed).into_owned()), "in {target}");
        if version.family() == target.family() && target >= Version::V1_0_0 {
            assert_eq!(again, *result, "in {target}");
        }
    }
}

fn has_a_status(result: &CniResult, version: Version) {
    let ifname = parsed("net1");
    let described = Described {
        name: "shop/left",
        default: false,
        ifname: &ifname,
        result,
        version,
        asked_default_route: true,
        device_info: None,
    };
    for entries in [Entries::FirstSandboxInterface, Entries::EachSandboxInterface] {
        let entries = NetworkStatus::of(&described, entries);
        assert!(!entries.is_empty() && entries.len() <= result.interfaces.len().max(1));
        assert!(entries.iter().all(|entry| entry.mac.is_none() || entry.interface.is_some()));
    }
}

/// `prevResult` of a configuration of 1.0.0.
pub(super) fn prev_result(input: &[u8]) -> Answer {
    for config in Version::ALL {
        if let Ok(Some(result)) = CniResult::parse_prev(input, config) {
            comes_back(&result, config);
        }
    }
    match CniResult::parse_prev(input, Version::V1_0_0) {
        Err(error) => error.into(),
        Ok(None) => Answer::Accepted("none".to_owned()),
        Ok(Some(result)) => {
            let printed = result.to_json(Version::V1_0_0).expect("every result has a form in 1.0.0");
            Answer::Accepted(text(&printed).into_owned())
        }
    }
}
