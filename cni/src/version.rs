//! Which protocol versions exist, and what each of them can do.

use std::fmt;
use std::str::FromStr;

/// A protocol version that we speak. Order is age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0
    V0_1_0,
    /// 0.2.0
    V0_2_0,
    /// 0.3.0
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0
    V0_4_0,
    /// 1.0.0
    V1_0_0,
    /// 1.1.0
    V1_1_0,
}

/// The three shapes a result has had. A `prevResult` may only change version inside its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 0.1.0 and 0.2.0: `ip4` and `ip6`.
    Ip4Ip6,
    /// 0.3.0 to 0.4.0: lists, each address with its `version`.
    Versioned,
    /// 1.0.0 and later.
    Current,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As `cniVersion` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Which shape its results have.
    pub const fn family(self) -> Family {
        match self {
            Self::V0_1_0 | Self::V0_2_0 => Family::Ip4Ip6,
            Self::V0_3_0 | Self::V0_3_1 | Self::V0_4_0 => Family::Versioned,
            Self::V1_0_0 | Self::V1_1_0 => Family::Current,
        }
    }

    /// CHECK, and `prevResult` on DEL, came with 0.4.0.
    pub fn has_check(self) -> bool {
        self >= Self::V0_4_0
    }

    /// STATUS and GC came with 1.1.0.
    pub fn has_gc(self) -> bool {
        self >= Self::V1_1_0
    }

    /// STATUS came with 1.1.0.
    pub fn has_status(self) -> bool {
        self >= Self::V1_1_0
    }
}

/// A string of `cniVersions` that is no version at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a version such as `1.1.0`", crate::name::printable(.0))]
pub struct Malformed(pub String);

impl Version {
    /// The newest of `offered` that we speak. Others are passed over, as they may be newer than we are; what is no
    /// version at all is an error (CNI-CFG-3).
    ///
    /// # Errors
    /// If one of them is no version.
    pub fn highest<'a>(offered: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>, Malformed> {
        let mut best = None;
        for raw in offered {
            if !is_version(raw) {
                return Err(Malformed(raw.to_owned()));
            }
            best = best.max(raw.parse().ok());
        }
        Ok(best)
    }
}

/// Three numbers joined by dots, with whatever semver allows behind them.
fn is_version(raw: &str) -> bool {
    let core = raw.split(['-', '+']).next().unwrap_or_default();
    let number = |n: &str| !n.is_empty() && n.len() < 10 && n.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3 && core.split('.').all(number)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A version string that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CNI version `{}` is not one of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0", crate::name::printable(.0))]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Exact strings only: `1.0` is not `1.0.0` (the reference library compares whole strings too).
    /// The empty string means 0.1.0, as an absent `cniVersion` does.
    fn from_str(raw: &str) -> Result<Self, UnknownVersion> {
        if raw.is_empty() {
            return Ok(Self::V0_1_0);
        }
        Self::ALL.into_iter().find(|v| v.as_str() == raw).ok_or_else(|| UnknownVersion(raw.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: CNI-VER-3, CNI-CONV-5, CNI-CFG-2
    #[test]
    fn a_version_is_an_exact_string_and_the_empty_one_is_the_oldest() {
        assert_eq!("".parse(), Ok(Version::V0_1_0));
        for version in Version::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
        }
        for odd in ["1.0", "1", "v1.0.0", "1.0.0 ", "01.0.0", "1.0.0-rc1", "0.0.0", "9.9.9"] {
            assert_eq!(odd.parse::<Version>(), Err(UnknownVersion(odd.to_owned())));
        }
    }

    // Proves: CNI-CFG-3
    #[test]
    fn the_highest_version_that_we_speak_is_picked_and_newer_ones_are_passed_over() {
        #[track_caller]
        fn check(offered: &[&str], expected: Option<Version>) {
            assert_eq!(Version::highest(offered.iter().copied()), Ok(expected));
        }
        check(&["0.4.0", "1.1.0", "9.9.9"], Some(Version::V1_1_0));
        check(&["1.0.0", "0.3.1"], Some(Version::V1_0_0));
        check(&["9.9.9", "1.2.0"], None);
        check(&["1.2.0-beta+7", "0.1.0"], Some(Version::V0_1_0));
        check(&[], None);
        for odd in ["", "1.0", "one", "1.0.0.0", "1..0", "-1.0.0"] {
            assert_eq!(Version::highest(["1.0.0", odd]), Err(Malformed(odd.to_owned())));
        }
    }
}
