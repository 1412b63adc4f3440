//! Places for the connections of a server that anybody can reach: who comes gets one, so that nobody keeps others out by holding
//! what there is (F-CTL-10).
//!
//! Where all places are taken, the peer that holds most of them gives one way: its oldest on which nothing is being answered,
//! first of those on which nothing was ever asked. No peer holds more than its share. A node's own connections, such as those of
//! its kubelet to a server in its network, have places of their own. Only where something is being answered on every connection,
//! each for a bounded time, is the one who comes sent away.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// Who has a network of IPv6 has all addresses of it, so that is what counts.
    network: IpAddr,
    /// It comes from the machine on which it ends.
    is_own: bool,
}

impl Peer {
    pub(crate) fn new(peer: IpAddr, local: IpAddr) -> Self {
        let (peer, local) = (peer.to_canonical(), local.to_canonical());
        let network = match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        };
        Self { network, is_own: peer == local || peer.is_loopback() }
    }

    /// None: it is gone already.
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        Some(Self::new(stream.peer_addr().ok()?.ip(), stream.local_addr().ok()?.ip()))
    }
}

/// Clones share the places.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// For others, and as many for the node's own.
    all: usize,
    of_peer: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// The oldest first. Those that give way are not here any more.
    by_age: BTreeMap<u64, Holder>,
}

#[derive(Debug)]
struct Holder {
    peer: Peer,
    /// What is being answered.
    answering: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    gives_way: Notify,
    has_asked: AtomicBool,
}

/// Held for as long as the connection lives.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    held: Arc<Mutex<Held>>,
    shared: Arc<Shared>,
}

/// Something is being answered.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Place>);

impl Places {
    pub(crate) fn new(all: usize, of_peer: usize) -> Self {
        Self { all, of_peer, held: Arc::default() }
    }

    pub(crate) fn take(&self, peer: Peer) -> Option<Place> {
        let mut held = lock(&self.held);
        let of_peer = held.by_age.values().filter(|holder| holder.peer == peer).count();
        let all = held.by_age.values().filter(|holder| holder.peer.is_own == peer.is_own).count();
        if of_peer >= self.of_peer {
            held.make_room(|holder| holder.peer == peer)?;
        } else if all >= self.all {
            held.make_room(|holder| holder.peer.is_own == peer.is_own)?;
        }
        let (number, shared) = (held.next, Arc::<Shared>::default());
        held.next += 1;
        held.by_age.insert(number, Holder { peer, answering: 0, shared: Arc::clone(&shared) });
        Some(Place { number, held: Arc::clone(&self.held), shared })
    }
}

impl Held {
    /// None: something is being answered on each.
    fn make_room(&mut self, may: impl Fn(&Holder) -> bool) -> Option<()> {
        let mut counts: HashMap<Peer, usize> = HashMap::new();
        self.by_age.values().for_each(|holder| *counts.entry(holder.peer).or_default() += 1);
        let most = |holder: &Holder| std::cmp::Reverse(counts.get(&holder.peer).copied());
        let idle = self.by_age.iter().filter(|(_, holder)| holder.answering == 0 && may(holder));
        let has_asked = |holder: &Holder| holder.shared.has_asked.load(Ordering::Relaxed);
        let first = idle.min_by_key(|(number, holder)| (most(holder), has_asked(holder), **number));
        let number = *first?.0;
        self.by_age.remove(&number)?.shared.gives_way.notify_one();
        Some(())
    }
}

impl Place {
    /// Returns when another gets this place.
    pub(crate) async fn gives_way(&self) {
        self.shared.gives_way.notified().await;
    }

    pub(crate) fn answering(self: &Arc<Self>) -> Answering {
        self.shared.has_asked.store(true, Ordering::Relaxed);
        if let Some(holder) = lock(&self.held).by_age.get_mut(&self.number) {
            holder.answering += 1;
        }
        Answering(Arc::clone(self))
    }

    /// Whether anything was ever asked.
    pub(crate) fn has_asked(&self) -> bool {
        self.shared.has_asked.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.held).by_age.remove(&self.number);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(holder) = lock(&self.0.held).by_age.get_mut(&self.0.number) {
            holder.answering = holder.answering.saturating_sub(1);
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::new([192, 0, 2, last].into(), [192, 0, 2, 200].into())
    }

    fn goes(place: &Place) -> bool {
        place.gives_way().now_or_never().is_some()
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_ipv6() {
        let peer = |a: &str, b: &str| Peer::new(a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(peer("::ffff:192.0.2.1", "::ffff:192.0.2.2"), peer("192.0.2.1", "192.0.2.2"));
        assert_eq!(peer("2001:db8::1", "2001:db8::9"), peer("2001:db8::2", "2001:db8::9"));
        assert_ne!(peer("2001:db8::1", "2001:db8::9"), peer("2001:db8:0:1::1", "2001:db8::9"));
        assert!(peer("192.0.2.2", "192.0.2.2").is_own && peer("127.0.0.1", "127.0.0.2").is_own);
        assert!(peer("2001:db8::9", "2001:db8::9").is_own && !peer("2001:db8::1", "2001:db8::9").is_own);
    }

    // Proves: F-CTL-10
    #[test]
    fn the_oldest_of_the_peer_that_holds_most_gives_way() {
        let places = Places::new(4, 3);
        let probe = places.take(peer(1)).unwrap();
        let many: Vec<Place> = (0..3).map(|_| places.take(peer(2)).unwrap()).collect();
        let _third = places.take(peer(3)).unwrap();
        assert!(goes(&many[0]) && !goes(&many[1]) && !goes(&probe));
        // However many peers come one by one, it is the turn of the oldest at last.
        let _others: Vec<Place> = (4..7).map(|n| places.take(peer(n)).unwrap()).collect();
        assert!(goes(&many[1]) && goes(&probe));
    }

    // Proves: F-CTL-10
    #[test]
    fn beyond_its_share_a_peer_makes_room_for_itself() {
        let places = Places::new(8, 2);
        let other = places.take(peer(1)).unwrap();
        let own: Vec<Place> = (0..3).map(|_| places.take(peer(2)).unwrap()).collect();
        assert!(goes(&own[0]) && !goes(&own[1]) && !goes(&other));
    }

    // Proves: F-CTL-10
    #[test]
    fn what_is_being_answered_stays_and_what_was_never_asked_goes_first() {
        let places = Places::new(3, 3);
        let [first, second, third] = std::array::from_fn(|_| Arc::new(places.take(peer(1)).unwrap()));
        let answering = first.answering();
        drop(second.answering());
        let fourth = Arc::new(places.take(peer(1)).unwrap());
        assert!(goes(&third) && !goes(&first) && !goes(&second));
        let busy = [second.answering(), fourth.answering()];
        assert!(places.take(peer(2)).is_none(), "everybody is being answered");
        drop((answering, busy));
        assert!(places.take(peer(2)).is_some() && goes(&first));
    }

    // Proves: F-CTL-10
    #[test]
    fn the_nodes_own_have_places_of_their_own() {
        let places = Places::new(2, 2);
        let own = Peer::new([192, 0, 2, 200].into(), [192, 0, 2, 200].into());
        let probe = places.take(own).unwrap();
        let _strangers: Vec<Place> = (0..100).map(|n| places.take(peer(n)).unwrap()).collect();
        assert!(!goes(&probe));
    }

    #[test]
    fn a_connection_that_ends_leaves_its_place() {
        let places = Places::new(1, 1);
        drop(places.take(peer(1)));
        let second = places.take(peer(2)).unwrap();
        assert!(!goes(&second) && lock(&places.held).by_age.len() == 1);
        let _third = places.take(peer(3)).unwrap();
        drop(second);
        assert_eq!(lock(&places.held).by_age.len(), 1);
    }
}
