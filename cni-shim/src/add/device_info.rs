//! Device-info files of the standard: what a device plugin wrote of a device goes to the plugins of the attachment, and
//! what they leave goes into the status.
//!
//! Nothing here fails an ADD but a folder that cannot be made: the device itself does not depend on its description. Only
//! regular files of a bounded size are read, so that a pipe in one of the folders does not hang the call.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use manifold_cni::{CniError, code};
use manifold_crds::DeviceInfo;
use manifold_plan::allocation::DeviceRequest;
use manifold_plan::device_file;
use nix::fcntl::OFlag;

/// Of a device plugin's file. Bytes.
const FILE_MOST: u64 = 64 << 10;
/// Of what the status has room for: 32 networks of it stay below the size of an annotation.
const STATUS_MOST: u64 = 4 << 10;

/// Makes the folder for the attachment's file (NPWG-DI-4.2-3), and puts there what the device plugin knows of the device
/// (NPWG-DI-4.2-2).
pub(super) fn hand_over(
    file: Option<&Path>,
    device: Option<&DeviceRequest>,
    of_plugins: &Path,
) -> Result<(), CniError> {
    let Some(file) = file else { return Ok(()) };
    make_room_for(file)?;
    let Some(DeviceRequest { resource: Some(resource), device }) = device else { return Ok(()) };
    let from = device_file::of_device_plugin(of_plugins, resource, device);
    match copy(&from, file) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            tracing::debug!("the device plugin describes no device at `{}`", from.display());
        }
        Err(e) => {
            tracing::warn!("the device information `{}` is not handed on: {e}", from.display());
            // Half a description is worse than none.
            let _ = fs::remove_file(file);
        }
    }
    Ok(())
}

fn make_room_for(file: &Path) -> Result<(), CniError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| {
        CniError::new(
            code::TRY_AGAIN,
            format!("the folder `{}` for device information cannot be made: {e}", folder.display()),
        )
    })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = bounded(from, FILE_MOST)?;
    // Never through a link that somebody else laid.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(to)?;
    file.write_all(&bytes)
}

/// What is known of the device after the plugins have run (NPWG-DI-6.1-1). Nothing, or nonsense, is no reason to fail.
pub(super) fn read(path: &Path) -> Option<DeviceInfo> {
    let bytes = match bounded(path, STATUS_MOST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => {
            tracing::warn!(path = %path.display(), "device information: {e}");
            return None;
        }
    };
    DeviceInfo::parse(&bytes)
        .inspect_err(|e| tracing::warn!(path = %path.display(), "device information: {e}"))
        .ok()
}

fn bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!("it is larger than {most} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MEMIF: &str =
        r#"{"type":"memif","version":"1.1.0","memif":{"role":"master","path":"/run/a","mode":"ip"}}"#;

    struct Bed {
        folder: TempDir,
    }

    impl Bed {
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            fs::create_dir(folder.path().join("dp")).unwrap();
            Self { folder }
        }

        fn dp(&self) -> std::path::PathBuf {
            self.folder.path().join("dp/v.example-nic-dev-0-device.json")
        }

        fn cni(&self) -> std::path::PathBuf {
            self.folder.path().join("cni/a-c1:net1")
        }

        fn hand_over(&self) {
            let device = DeviceRequest {
                resource: Some("v.example/nic".parse().unwrap()),
                device: "dev-0".parse().unwrap(),
            };
            hand_over(Some(&self.cni()), Some(&device), &self.folder.path().join("dp")).unwrap();
        }

        #[track_caller]
        fn hands_nothing_over(&self) {
            self.hand_over();
            assert!(!self.cni().exists());
            assert!(self.cni().parent().unwrap().is_dir(), "the folder is there for the plugins");
            assert_eq!(read(&self.cni()), None);
        }
    }

    // Proves: NPWG-DI-4.2-2, NPWG-DI-4.2-3, MLT-EXE-8
    #[test]
    fn the_device_plugins_file_is_copied_as_it_is() {
        let bed = Bed::new();
        let odd = format!(" {MEMIF}\n\n");
        fs::write(bed.dp(), &odd).unwrap();
        bed.hand_over();
        assert_eq!(fs::read_to_string(bed.cni()).unwrap(), odd);
        assert_eq!(read(&bed.cni()), Some(DeviceInfo::parse(MEMIF.as_bytes()).unwrap()));
    }

    // Proves: MLT-EXE-8
    #[test]
    fn a_description_that_is_missing_or_unreadable_stops_nothing() {
        Bed::new().hands_nothing_over();
        let bed = Bed::new();
        fs::create_dir(bed.dp()).unwrap();
        bed.hands_nothing_over();
        let bed = Bed::new();
        nix::unistd::mkfifo(&bed.dp(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        bed.hands_nothing_over();
        let bed = Bed::new();
        fs::write(bed.dp(), vec![b' '; 70_000]).unwrap();
        bed.hands_nothing_over();
    }

    #[test]
    fn nonsense_is_handed_on_and_not_told() {
        let bed = Bed::new();
        fs::write(bed.dp(), "no json").unwrap();
        bed.hand_over();
        assert!(bed.cni().exists());
        assert_eq!(read(&bed.cni()), None);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let bed = Bed::new();
        fs::write(bed.dp(), MEMIF).unwrap();
        fs::create_dir(bed.cni().parent().unwrap()).unwrap();
        let victim = bed.folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, bed.cni()).unwrap();
        bed.hand_over();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }
}
