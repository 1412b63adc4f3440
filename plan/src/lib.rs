//! Room being furnished.
