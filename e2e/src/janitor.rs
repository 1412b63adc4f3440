//! Removes what a test process made, even when the process was killed.
//!
//! A shell waits on a pipe of which only this process holds the other end. When the process ends, by whatever means,
//! the pipe closes and the shell removes everything that was ever registered. Names are never used twice, so removing
//! what is gone already does no harm, and nothing has to be unregistered.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Processes that die with the test may still write for a moment, on a busy machine for a longer one: hence the tries,
/// for a minute.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
all=
while IFS= read -r line; do all="$all$line
"; done
tries=200
while [ $tries -gt 0 ]; do
  tries=$((tries-1))
  left=0
  while IFS= read -r line; do
    path=${line#* }
    [ -e "$path" ] || continue
    case $line in
      netns\ *) umount -l "$path"; rm -f "$path" ;;
      folder\ *) rm -rf "$path" ;;
    esac
    [ ! -e "$path" ] || left=1
  done <<END
$all
END
  [ $left = 1 ] || exit 0
  sleep 0.3
done
"#;

/// A mounted network namespace, to be unmounted and removed.
pub fn netns(path: &Path) -> io::Result<()> {
    register("netns", path)
}

/// A folder, to be removed with all that is in it.
pub fn folder(path: &Path) -> io::Result<()> {
    register("folder", path)
}

fn register(kind: &str, path: &Path) -> io::Result<()> {
    static JANITOR: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let mut janitor = JANITOR.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = match janitor.as_mut() {
        Some(pipe) => pipe,
        None => janitor.insert(start()?),
    };
    writeln!(pipe, "{kind} {}", path.display())
}

fn start() -> io::Result<ChildStdin> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(shell.stdin.take().expect("stdin was asked to be a pipe"))
}

/// A folder under the system's temporary folder, gone when dropped, or with the process.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new(what: &str) -> io::Result<Self> {
        let path = tempfile::Builder::new().prefix(&format!("manifold-{what}-")).tempdir()?.keep();
        folder(&path)?;
        Ok(Self { path })
    }

    /// A folder of this path, gone when dropped; one that is killed leaves it for its successor to remove.
    pub fn at(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_path_buf() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left, the janitor takes.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
