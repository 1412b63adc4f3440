//! What the node remembers of a virtual function that a pod has: how it was before, and whose it is (PLG-SRIOV-4, -8).
//!
//! The record is written before anything is changed, so DEL can undo whatever an ADD did that was killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use manifold_cni::{CniError, code};
use manifold_net::Netns;
use manifold_plugin_conf::{PciAddress, sriov::VfSettings};
use serde::{Deserialize, Serialize};

use crate::file_lock::{self, Lock};
use crate::state_file::{self, Survives};

#[derive(Clone, Debug)]
pub(super) struct Store(pub(super) PathBuf);

/// One attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) network: String,
    pub(super) container: String,
    pub(super) ifname: String,
    pub(super) netns: PathBuf,
    pub(super) device: String,
    /// The link's name, address and MTU in the host; empty for a device that a program drives.
    pub(super) name: String,
    pub(super) mac: String,
    pub(super) mtu: u32,
    /// What the physical function enforced; `None` where it was not to be changed.
    pub(super) admin_mac: Option<String>,
    pub(super) vlan: Option<(u16, u8, bool)>,
    pub(super) rates: Option<(u32, u32)>,
    pub(super) spoof_check: Option<bool>,
    pub(super) trust: Option<bool>,
    /// 0 auto, 1 enable, 2 disable.
    pub(super) link_state: Option<u8>,
}

impl Record {
    /// Whether the settings mean a change of rates.
    pub(super) fn rates_asked(settings: &VfSettings) -> bool {
        settings.min_tx_rate.is_some() || settings.max_tx_rate.is_some()
    }
}

impl Store {
    pub(super) fn record_file(&self, container: &str, ifname: &str) -> PathBuf {
        self.0.join(format!("{container}-{ifname}"))
    }

    fn claim_file(&self, device: &str) -> PathBuf {
        self.0.join("pci").join(device)
    }

    /// For as long as the device is worked on.
    pub(super) fn lock(&self, device: &str, deadline: Instant) -> Result<Lock, CniError> {
        let folder = self.0.join("pci/vf_lock");
        let file = folder.join(format!("{device}.lock"));
        let opened = state_file::make_folder(&folder).and_then(|()| {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file)
        });
        let opened = opened.map_err(|error| broken(&file, &error))?;
        file_lock::take(opened, deadline).map_err(|error| {
            let text = format!("the device `{device}` is being worked on ({error}); it is free soon");
            CniError::new(code::TRY_AGAIN, text)
        })
    }

    /// Refuses a device that a living pod has; what a pod left that is gone is cleared.
    pub(super) fn refuse_if_held(&self, device: &PciAddress) -> Result<(), CniError> {
        let Some(netns) = self.holder(device.as_str())? else { return Ok(()) };
        if Netns::open(&netns).is_ok() {
            let text = format!(
                "the device `{device}` is already allocated to the pod with the namespace `{}`; detach that one first",
                netns.display()
            );
            return Err(CniError::failed(text));
        }
        self.release(device.as_str())
    }

    pub(super) fn holder(&self, device: &str) -> Result<Option<PathBuf>, CniError> {
        let file = self.claim_file(device);
        let text = state_file::read(&file).map_err(|error| broken(&file, &error))?;
        let path = text.map(|text| PathBuf::from(String::from_utf8_lossy(&text).trim()));
        Ok(path.filter(|path| !path.as_os_str().is_empty()))
    }

    pub(super) fn claim(&self, device: &str, netns: &Path) -> Result<(), CniError> {
        let file = self.claim_file(device);
        let text = netns.to_string_lossy();
        state_file::write(&file, text.as_bytes(), Survives::PowerCut).map_err(|error| broken(&file, &error))
    }

    pub(super) fn release(&self, device: &str) -> Result<(), CniError> {
        remove(&self.claim_file(device))
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), CniError> {
        let file = self.record_file(&record.container, &record.ifname);
        let bytes = serde_json::to_vec(record).map_err(|e| CniError::failed(e.to_string()))?;
        state_file::write(&file, &bytes, Survives::PowerCut).map_err(|error| broken(&file, &error))
    }

    /// `None` where there is none, or none that makes sense. One that the system does not let us read is an error: whose the
    /// function is stands in it.
    pub(super) fn read(&self, container: &str, ifname: &str) -> Result<Option<Record>, CniError> {
        Self::parse(&self.record_file(container, ifname))
    }

    fn parse(file: &Path) -> Result<Option<Record>, CniError> {
        let bytes = state_file::read(file).map_err(|error| broken(file, &error))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(super) fn forget(&self, record: &Record) -> Result<(), CniError> {
        remove(&self.record_file(&record.container, &record.ifname))
    }

    /// For GC, which also removes what killed writers left. A record that cannot be read now is the next GC's.
    pub(super) fn of_network(&self, network: &str) -> Vec<Record> {
        state_file::remove_unfinished(&self.0);
        state_file::remove_unfinished(&self.0.join("pci"));
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let hidden = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
        let records = entries.flatten().filter(|entry| !hidden(entry) && entry.path().is_file());
        let records = records.filter_map(|entry| Self::parse(&entry.path()).ok().flatten());
        records.filter(|record| record.network == network).collect()
    }
}

fn remove(file: &Path) -> Result<(), CniError> {
    state_file::remove(file).map_err(|error| broken(file, &error))
}

fn broken(file: &Path, error: &io::Error) -> CniError {
    let text = format!("the state of virtual functions cannot be kept in `{}` ({error})", file.display());
    CniError::io(error, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEVICE: &str = "0000:03:02.1";

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store(folder.path().join("sriov"));
        (folder, store)
    }

    // Proves: PLG-SRIOV-4
    #[test]
    fn a_device_has_one_living_holder_and_a_gone_one_is_cleared() {
        let (_folder, store) = store();
        let device = DEVICE.parse().unwrap();
        store.refuse_if_held(&device).unwrap();
        store.claim(DEVICE, Path::new("/proc/self/ns/net")).unwrap();
        let written = fs::read_to_string(store.0.join("pci").join(DEVICE)).unwrap();
        assert_eq!(written, "/proc/self/ns/net");
        let error = store.refuse_if_held(&device).unwrap_err();
        assert!(error.msg.contains("already allocated"), "{error}");
        store.claim(DEVICE, Path::new("/run/netns/gone")).unwrap();
        store.refuse_if_held(&device).unwrap();
        assert_eq!(store.holder(DEVICE).unwrap(), None);
        store.release(DEVICE).unwrap();
    }

    // Proves: PLG-SRIOV-4
    #[test]
    fn the_lock_of_a_device_is_exclusive_and_waited_for_no_longer_than_the_caller() {
        let (_folder, store) = store();
        let soon = || Instant::now() + Duration::from_millis(50);
        let held = store.lock(DEVICE, soon()).unwrap();
        assert!(store.0.join(format!("pci/vf_lock/{DEVICE}.lock")).exists());
        let error = store.lock(DEVICE, soon()).unwrap_err();
        assert_eq!(error.code, 11, "{error}");
        drop(store.lock("0000:03:02.2", soon()).unwrap());
        drop(held);
        drop(store.lock(DEVICE, Instant::now() + Duration::from_secs(90)).unwrap());
    }

    // Proves: PLG-SRIOV-4
    #[test]
    fn functions_of_one_card_are_claimed_at_the_same_time_without_a_mix_up() {
        let (_folder, store) = store();
        let claim = |n: u8| {
            let (device, netns) = (format!("0000:03:02.{n}"), PathBuf::from(format!("/run/netns/{n}")));
            for _ in 0..25 {
                store.claim(&device, &netns).unwrap();
                assert_eq!(store.holder(&device).unwrap(), Some(netns.clone()));
            }
        };
        std::thread::scope(|scope| {
            for n in 0..8 {
                scope.spawn(move || claim(n));
            }
        });
    }

    // Shows part of: F-DSK-7
    #[test]
    fn a_record_and_a_claim_that_the_system_does_not_let_us_read_are_errors() {
        let (_folder, store) = store();
        fs::create_dir_all(store.record_file("c1", "net1")).unwrap();
        fs::create_dir_all(store.claim_file(DEVICE)).unwrap();
        store.read("c1", "net1").unwrap_err();
        store.holder(DEVICE).unwrap_err();
        store.refuse_if_held(&DEVICE.parse().unwrap()).unwrap_err();
    }

    #[test]
    fn a_record_that_makes_no_sense_is_none() {
        let (_folder, store) = store();
        fs::create_dir_all(&store.0).unwrap();
        fs::write(store.record_file("c1", "net1"), "{").unwrap();
        assert_eq!(store.read("c1", "net1").unwrap(), None);
        assert!(store.read("c2", "net1").unwrap().is_none() && store.of_network("blue").is_empty());
    }
}
