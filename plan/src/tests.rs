//! Whole plans, from annotation to delegates.

use crate::policy::{DefaultNetwork, Policy};
use crate::{Pod, Wanted, want};

mod support;

pub(crate) use support::*;
