//! Which pods use which network, and the promise that a network outlives them.
