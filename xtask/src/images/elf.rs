//! Whether an executable can live in an image that holds nothing else: of the right architecture, and static.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::arch::Arch;

const HEADER: usize = 64;
/// The program header that names a dynamic linker.
const INTERPRETER: u32 = 3;

pub(super) fn check(path: &Path, arch: Arch) -> anyhow::Result<()> {
    judge(path, arch).with_context(|| format!("`{}` cannot go into an image", path.display()))
}

fn judge(path: &Path, arch: Arch) -> anyhow::Result<()> {
    let mut file = File::open(path).context("it cannot be read")?;
    let mut header = [0; HEADER];
    match file.read_exact(&mut header) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => bail!("it is not an ELF executable"),
        other => other.context("it cannot be read")?,
    }
    // 64 bits, little endian: both architectures are.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        bail!("it is not an ELF executable of 64 bits");
    }
    let machine = half(&header, 18);
    if machine != arch.machine() {
        bail!("it is for machine {machine}, and the image for {} ({})", arch.name(), arch.machine());
    }
    let (begin, size, count) = (long(&header, 32), half(&header, 54), half(&header, 56));
    for at in 0..u64::from(count) {
        file.seek(SeekFrom::Start(begin + at * u64::from(size))).context("its headers are cut off")?;
        let mut kind = [0; 4];
        file.read_exact(&mut kind).context("its headers are cut off")?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            bail!(
                "it needs a dynamic linker, and an image has none; build it static, as `cargo xtask build` does"
            );
        }
    }
    Ok(())
}

fn half(header: &[u8; HEADER], at: usize) -> u16 {
    let bytes = header.get(at..at + 2).and_then(|b| b.try_into().ok());
    u16::from_le_bytes(bytes.expect("the offsets above lie in the header"))
}

fn long(header: &[u8; HEADER], at: usize) -> u64 {
    let bytes = header.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_le_bytes(bytes.expect("the offsets above lie in the header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(path: &str, arch: Arch, part: &str) {
        let told = format!("{:#}", check(Path::new(path), arch).unwrap_err());
        assert!(told.contains(part) && told.contains(path), "{told}");
    }

    #[test]
    fn what_cannot_run_in_an_empty_image_is_refused() {
        let own = std::env::current_exe().unwrap();
        refused(own.to_str().unwrap(), Arch::here(), "needs a dynamic linker");
        let other = if Arch::here() == Arch::Amd64 { Arch::Arm64 } else { Arch::Amd64 };
        refused(own.to_str().unwrap(), other, "it is for machine");
        refused("/etc/passwd", Arch::here(), "it is not an ELF executable");
        refused("/dev/null", Arch::here(), "it is not an ELF executable");
        refused("/no/such/file", Arch::here(), "cannot be read");
    }
}
