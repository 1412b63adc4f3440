//! The folder of one network, `<dataDir>/<network>`: its lease files, its counters, its lock (PLG-HL-7).
//!
//! No link is followed inside it, and nothing but regular files whose names are addresses is ever taken for a lease.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use manifold_cni::NetworkName;
use nix::fcntl::OFlag;

/// The folder need not exist; only [`Folder::create`] makes it.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// A directory entry whose name is an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) ip: IpAddr,
    pub(super) inode: u64,
    /// Folders, links and pipes are not leases, yet their address cannot be given out.
    pub(super) is_file: bool,
}

impl Folder {
    pub(super) fn new(data_dir: &Path, network: &NetworkName) -> Self {
        Self(data_dir.join(network.as_str()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Only root can read what we make; a peer that shares the folder is root.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// The entries with an address for a name; none when the folder does not exist.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let listing = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in listing {
            let entry = entry?;
            let Some(ip) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let is_file = match entry.file_type() {
                // Gone since the listing: its address is free.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                kind => kind?.is_file(),
            };
            found.push(Entry { ip, inode: entry.ino(), is_file });
        }
        Ok(found)
    }

    /// The content of a lease; `None` when it is gone. Longer ones are cut: no owner is that long.
    pub(super) fn read(&self, ip: IpAddr) -> io::Result<Option<Vec<u8>>> {
        let mut content = vec![0; 1024];
        let file = match open_unlinked(&self.lease(ip)) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let length = (&file).read(&mut content)?;
        content.truncate(length);
        Ok(Some(content))
    }

    /// Makes a lease; `false` when the name is taken. It is not synced: no pod outlives a power cut, and the lease that
    /// one leaves empty is free again.
    pub(super) fn reserve(&self, ip: IpAddr, content: &[u8]) -> io::Result<bool> {
        let path = self.lease(ip);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
            other => other?,
        };
        file.write_all(content).map(|()| true).inspect_err(|_| {
            // Nobody's lease would still block its address for a peer. If this fails too, we reclaim it later.
            let _ = fs::remove_file(&path);
        })
    }

    /// Removes a lease; one that is gone is success.
    pub(super) fn release(&self, ip: IpAddr) -> io::Result<()> {
        match fs::remove_file(self.lease(ip)) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The address that was given last from the set; unreadable or garbled means none.
    pub(super) fn last(&self, set: usize) -> Option<IpAddr> {
        let mut text = String::new();
        open_unlinked(&self.counter(set)).ok()?.take(64).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// Written over and then cut to length: a file that is emptied first makes ext4 start the disk on close, which costs
    /// more than the rest of the ADD. A crash between the two leaves a wrong place to go on from, and that is harmless.
    pub(super) fn set_last(&self, set: usize, ip: IpAddr) -> io::Result<()> {
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
        let mut file = open.open(self.counter(set))?;
        let text = ip.to_string();
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }

    /// The file that everybody locks. Opened for reading, so that it can be locked on a read-only disk.
    pub(super) fn open_lock(&self) -> io::Result<File> {
        let flags = no_follow() | OFlag::O_CREAT.bits();
        OpenOptions::new().read(true).mode(0o600).custom_flags(flags).open(self.0.join("lock"))
    }

    fn lease(&self, ip: IpAddr) -> PathBuf {
        self.0.join(ip.to_string())
    }

    fn counter(&self, set: usize) -> PathBuf {
        self.0.join(format!("last_reserved_ip.{set}"))
    }
}

/// Opens a file for reading, refusing links in its last step; a pipe planted there does not block.
fn open_unlinked(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_follow()).open(path)
}

fn no_follow() -> i32 {
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()
}
