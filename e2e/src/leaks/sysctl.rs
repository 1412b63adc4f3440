//! Every setting below `/proc/sys/net`, as the namespace sees it.

use std::fs;
use std::path::Path;

use super::fact::{Facts, Fields, Kind};
use crate::netns;

pub(super) fn look(place: &str, netns: &Path, facts: &mut Facts) -> anyhow::Result<()> {
    let settings = netns::inside(netns, || {
        let mut settings = Vec::new();
        read(Path::new("/proc/sys/net"), &mut settings);
        settings
    })?;
    for (name, value) in settings {
        facts.add(place, Kind::Sysctl, name, Fields::from([("value".to_string(), value)]));
    }
    Ok(())
}

/// Some can only be written, or have no value yet, and links go while their folder is read: those are left out.
fn read(folder: &Path, settings: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, settings);
        } else if let (Ok(value), Ok(name)) = (fs::read_to_string(&path), path.strip_prefix("/proc/sys")) {
            settings.push((name.display().to_string(), value.trim().to_string()));
        }
    }
}
