//! An API server's promises, kept in a folder that processes share.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use manifold_address_store::kept::{ClaimApi, IpamClaim};
use manifold_address_store::{ApiError, BlockApi, PoolObject, Written};
use manifold_addresses::api::{ResourceVersion, Stored, Write};
use manifold_crds::ipam::{BlockCidr, BlockSpec, Claim, Domain, PoolName};
use manifold_crds::{ClaimName, Namespace};
use serde_json::{Value, json};

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    RequestLost,
    AnswerLost,
}

pub(crate) struct FileApi {
    folder: PathBuf,
    /// Which write from now on, and what happens to it.
    pub(crate) fault: Cell<Option<(usize, Fault)>>,
    /// No request is answered.
    pub(crate) is_down: Cell<bool>,
}

impl FileApi {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        Self { folder: folder.to_owned(), fault: Cell::new(None), is_down: Cell::new(false) }
    }

    fn lock(&self) -> File {
        let file = File::options().create(true).append(true).open(self.folder.join("requests")).unwrap();
        file.lock().unwrap();
        file
    }

    /// What was asked so far, such as `get default.10-1-0-0`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn forget_requests(&self) {
        let _ = fs::write(self.folder.join("requests"), "");
    }

    pub(crate) fn put_pool(&self, name: &str, object: &PoolObject) {
        let text = serde_json::to_string(&(&object.spec, &object.status)).unwrap();
        fs::write(self.folder.join(format!("pool.{name}")), text).unwrap();
    }

    pub(crate) fn all(&self) -> Vec<Stored> {
        let names =
            fs::read_dir(&self.folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("block.")).collect();
        names.sort();
        names.iter().map(|name| self.read(&self.folder.join(name)).unwrap()).collect()
    }

    fn path(&self, domain: &Domain, block: BlockCidr) -> PathBuf {
        self.folder.join(format!("block.{}", block.object_name(domain)))
    }

    fn read(&self, path: &Path) -> Option<Stored> {
        let (version, spec): (u64, BlockSpec) = serde_json::from_slice(&fs::read(path).ok()?).unwrap();
        Some(Stored { spec, version: ResourceVersion(version.to_string()), uid: "1".to_owned() })
    }

    fn store(&self, path: &Path, spec: &BlockSpec, version: u64) {
        let beside = path.with_file_name(format!("new.{}", std::process::id()));
        fs::write(&beside, serde_json::to_vec(&(version, spec)).unwrap()).unwrap();
        fs::rename(beside, path).unwrap();
    }

    fn apply(&self, write: &Write) -> Written {
        let (spec, expected) = match write {
            Write::Create(spec) => (spec, None),
            Write::Replace { spec, version } => (spec, Some(version)),
            Write::Delete { .. } => panic!("nodes never delete"),
        };
        let path = self.path(&spec.domain, spec.cidr);
        let found = self.read(&path).map(|stored| stored.version);
        if found.as_ref() != expected {
            return Written::Conflict;
        }
        let version = found.map_or(0, |v| v.0.parse::<u64>().unwrap());
        self.store(&path, spec, version + 1);
        Written::Applied
    }

    fn answered(&self) -> Result<(), ApiError> {
        if self.is_down.get() { Err(ApiError::new("the API server gave no answer")) } else { Ok(()) }
    }
}

impl BlockApi for FileApi {
    async fn block(&self, domain: &Domain, block: BlockCidr) -> Result<Option<Stored>, ApiError> {
        self.answered()?;
        let mut log = self.lock();
        writeln!(log, "get {}", block.object_name(domain)).unwrap();
        Ok(self.read(&self.path(domain, block)))
    }

    async fn write(&self, write: &Write) -> Result<Written, ApiError> {
        self.answered()?;
        let mut log = self.lock();
        writeln!(log, "write {}", write.block()).unwrap();
        let fault = match self.fault.take() {
            Some((0, fault)) => Some(fault),
            later => {
                self.fault.set(later.map(|(n, fault)| (n - 1, fault)));
                None
            }
        };
        match fault {
            None => Ok(self.apply(write)),
            Some(Fault::RequestLost) => Err(ApiError::new("the request was lost")),
            Some(Fault::AnswerLost) => {
                self.apply(write);
                Err(ApiError::new("the answer was lost"))
            }
        }
    }

    async fn pool(&self, name: &PoolName) -> Result<Option<PoolObject>, ApiError> {
        self.answered()?;
        let mut log = self.lock();
        writeln!(log, "pool {name}").unwrap();
        let text = fs::read(self.folder.join(format!("pool.{name}"))).ok();
        Ok(text.map(|text| {
            let (spec, status) = serde_json::from_slice(&text).unwrap();
            PoolObject { spec, status }
        }))
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl FileApi {
    pub(crate) fn put_claim(&self, name: &str, claim: &IpamClaim) {
        let object = json!({"version": 0, "status": {"ips": claim.ips}});
        let text = serde_json::to_string(&(&claim.id, &claim.network, &claim.interface, object));
        fs::write(self.folder.join(format!("claim.{name}")), text.unwrap()).unwrap();
    }

    fn stored_claim(&self, name: &str) -> Option<IpamClaim> {
        let text = fs::read(self.folder.join(format!("claim.{name}"))).ok()?;
        let (id, network, interface, object): (Claim, String, String, Value) =
            serde_json::from_slice(&text).unwrap();
        let ips = serde_json::from_value(object["status"]["ips"].clone()).unwrap();
        Some(IpamClaim { id, network, interface, ips, object })
    }

    /// Whom the status of a claim names.
    pub(crate) fn claim_owner(&self, name: &str) -> Option<String> {
        Some(self.stored_claim(name)?.object["status"]["ownerPod"].as_str()?.to_owned())
    }
}

impl ClaimApi for FileApi {
    async fn ipam_claim(&self, _: &Namespace, name: &ClaimName) -> Result<Option<IpamClaim>, ApiError> {
        self.answered()?;
        let _log = self.lock();
        Ok(self.stored_claim(&name.to_string()))
    }

    async fn write_claim_status(&self, claim: &Claim, object: &Value) -> Result<Written, ApiError> {
        self.answered()?;
        let _log = self.lock();
        let Some(found) = self.stored_claim(&claim.name) else { return Ok(Written::Conflict) };
        if object["version"] != found.object["version"] {
            return Ok(Written::Conflict);
        }
        let mut object = object.clone();
        object["version"] = json!(found.object["version"].as_u64().unwrap() + 1);
        let new = serde_json::to_vec(&(found.id, found.network, found.interface, object)).unwrap();
        fs::write(self.folder.join(format!("claim.{}", claim.name)), new).unwrap();
        Ok(Written::Applied)
    }
}
