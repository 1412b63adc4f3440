//! Which suites a run covers: all of them, those of a name, or those that changed files can affect.

use super::Options;
use super::changed::Affected;
use crate::{e2e, progress};

pub(crate) enum Selection {
    Everything,
    /// Suites whose name contains this; `cluster` is for those on the real cluster.
    Named(String),
    Affected(Affected),
}

impl Selection {
    pub(super) fn from_options(options: &Options) -> anyhow::Result<Self> {
        if let Some(name) = &options.only {
            return Ok(Self::Named(name.clone()));
        }
        let Some(revision) = &options.changed else { return Ok(Self::Everything) };
        let affected = Affected::since(revision)?;
        affected.describe().iter().for_each(|line| progress::line(line));
        Ok(if affected.is_everything() { Self::Everything } else { Self::Affected(affected) })
    }

    /// Whether a suite of this name, such as `plan (plan, unit)`, takes part.
    pub(super) fn covers(&self, suite: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(name) => suite.contains(name.as_str()),
            Self::Affected(affected) => suite.split(' ').next().is_some_and(|folder| affected.covers(folder)),
        }
    }

    pub(super) fn wants_cluster(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(name) => name == e2e::SUITE,
            Self::Affected(affected) => affected.covers_cluster(),
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }
}
