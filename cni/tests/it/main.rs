//! Plugins that are processes: scripts written for the occasion, and the example plugin.

mod bench;
mod delegation;
mod execution;
#[path = "../../examples/minimal/fixed.rs"]
mod fixed;
mod probing;
mod same_answer;
