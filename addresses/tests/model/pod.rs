//! A pod, as it is in truth and as the API server shows it.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The kubelet will call ADD.
    Pending,
    /// An ADD runs.
    Starting,
    /// ADD failed or was killed: the kubelet will call DEL.
    Failed,
    Running,
    /// It lives no more. Its object may be there still.
    Gone,
}

#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) node: usize,
    /// A pool for each interface.
    pub(crate) wants: Vec<usize>,
    pub(crate) addresses: Vec<Option<IpAddr>>,
    pub(crate) state: State,
    /// Its object is at the API server.
    pub(crate) object: bool,
    /// Its status shows its addresses.
    pub(crate) shown: bool,
    /// Two may have its address by contract: its Node was deleted while the machine ran, its node's folder was lost before
    /// its status was told, or the API server was put back to before it had the address.
    pub(crate) excused: bool,
}

impl Pod {
    pub(crate) fn lives(&self) -> bool {
        self.state != State::Gone
    }
}
