//! Nodes with folders of their own, at one API server.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use manifold_address_store::give::{AddressRequest, PoolChoice, give_held, remove_leases};
use manifold_address_store::identity::NodeIdentity;
use manifold_address_store::no_address::NoAddress;
use manifold_address_store::obtain::obtain;
use manifold_address_store::{DomainFolder, Session, Store, clock};
use manifold_addresses::api::Identity;
use manifold_addresses::holdings::Holdings;
use manifold_addresses::lease::Lease;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockCidr, Domain, PoolSpec, RangeSpec};

use crate::file_api::FileApi;

/// Longer than a busy machine takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) struct Bed {
    folder: tempfile::TempDir,
    pub(crate) api: FileApi,
}

pub(crate) struct Node<'a> {
    pub(crate) api: &'a FileApi,
    pub(crate) store: Store,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = FileApi::in_folder(&folder.path().join("api"));
        Self { folder, api }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn node(&self, name: &str) -> Node<'_> {
        Node::at(&self.api, &self.path().join(name), name)
    }
}

impl<'a> Node<'a> {
    pub(crate) fn at(api: &'a FileApi, state_dir: &Path, name: &str) -> Self {
        let me = NodeIdentity { node: name.parse().unwrap(), uid: format!("uid-{name}").parse().unwrap() };
        if !manifold_address_store::identity::path(state_dir).exists() {
            me.write(state_dir).unwrap();
        }
        Self { api, store: Store::of(state_dir) }
    }

    pub(crate) fn me(&self) -> Identity {
        self.store.identity().unwrap()
    }

    pub(crate) fn folder(&self) -> DomainFolder {
        self.store.domain(&Domain::default())
    }

    pub(crate) fn obtain(&self, requests: &[AddressRequest]) -> Result<Vec<IpAddr>, NoAddress> {
        run(obtain(&self.store, &self.me(), self.api, requests, soon()))
    }

    /// One address of a pool.
    pub(crate) fn add(&self, container: &str, pool: &Pool) -> Result<IpAddr, NoAddress> {
        self.obtain(&[request(container, "net1", pool)]).map(|all| all[0])
    }

    /// One address out of what is held.
    pub(crate) fn give(&self, container: &str, pool: &Pool) -> Option<IpAddr> {
        let given =
            give_held(&self.folder(), &self.me(), &[request(container, "net1", pool)], soon()).unwrap();
        given.addresses[0]
    }

    pub(crate) fn del(&self, container: &str) {
        let meant = |lease: &Lease| lease.container.as_str() == container;
        remove_leases(&self.folder(), &meant, soon()).unwrap();
    }

    pub(crate) fn holdings(&self) -> Holdings {
        self.folder().lock(soon()).unwrap().holdings(&self.me()).unwrap()
    }

    /// Each address with a lease, and its container.
    pub(crate) fn leases(&self) -> Vec<(IpAddr, String)> {
        let found = self.folder().lock(soon()).unwrap().found().unwrap();
        found
            .into_iter()
            .map(|f| (f.ip, f.lease.map(|l| l.container.to_string()).unwrap_or_default()))
            .collect()
    }

    pub(crate) fn session(&self, work: impl AsyncFnOnce(&Session<'_, FileApi>)) {
        let (folder, me) = (self.folder(), self.me());
        let session = Session::new(self.api, &folder, &me, folder.claiming(soon()).unwrap(), soon());
        run(work(&session));
    }

    /// As the node role does it: intents first, then every block that it has or that the API server says it has.
    pub(crate) fn settle(&self) {
        let own = |block: &manifold_addresses::api::Stored| self.me().part_of(&block.spec).mask() != 0;
        let mut blocks: Vec<BlockCidr> =
            self.api.all().iter().filter(|b| own(b)).map(|b| b.spec.cidr).collect();
        blocks.extend(self.holdings().iter().map(|(block, _)| block));
        blocks.sort();
        blocks.dedup();
        self.session(async |session| {
            session.settle().await.unwrap();
            for block in blocks {
                session.reconcile(block).await.unwrap();
            }
        });
    }
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

pub(crate) fn request(container: &str, interface: &str, pool: &Pool) -> AddressRequest {
    let lease = Lease {
        container: container.parse().unwrap(),
        interface: interface.parse().unwrap(),
        network: "storage".parse().unwrap(),
    };
    let choice = PoolChoice { pool: pool.clone(), object: None, is_named: false };
    AddressRequest { lease, pools: vec![choice], by_name: None }
}

/// From one address to another, of that subnet.
pub(crate) fn pool(subnet: &str, start: &str, end: &str) -> Pool {
    let ranges = vec![RangeSpec { start: start.into(), end: end.into() }];
    Pool::read(&PoolSpec { ranges, ..PoolSpec::of_subnet(subnet) }).unwrap()
}

/// Everything of a /16: whole blocks are held of it.
pub(crate) fn large() -> Pool {
    Pool::read(&PoolSpec::of_subnet("10.1.0.0/16")).unwrap()
}

/// An address has one living lease at most, and lies in what the API server says its node has.
pub(crate) fn assert_unique(nodes: &[Node<'_>]) {
    let mut seen = std::collections::BTreeMap::new();
    for node in nodes {
        let found = node.folder().lock(soon()).unwrap().found().unwrap();
        for found in found.into_iter().filter(|found| !found.kept) {
            let (ip, container) =
                (found.ip, found.lease.map(|l| l.container.to_string()).unwrap_or_default());
            if let Some(other) = seen.insert(ip, container.clone()) {
                panic!("{ip} has been given to {other} and to {container}");
            }
            let stored = node.api.all().into_iter().find(|b| b.spec.cidr == BlockCidr::of(ip));
            let own = stored.map_or(0, |b| node.me().part_of(&b.spec).mask());
            assert!(own & BlockCidr::offset_of(ip).bit() != 0, "{ip} of {container} is not the node's");
        }
        let now = clock::now().unwrap();
        for (block, holding) in node.holdings().iter() {
            let stored = node.api.all().into_iter().find(|b| b.spec.cidr == block);
            let own = stored.map_or(0, |b| node.me().part_of(&b.spec).mask());
            assert_eq!(holding.open_mask(&now) & !own, 0, "{block} is given and is not the node's");
        }
    }
}
