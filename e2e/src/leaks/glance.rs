//! A quick look, for suites of many thousand rounds: what the kernel lists of links, addresses, routes, rules, neighbours and
//! nftables, and which files there are. It starts no program. What it cannot see, such as sysctls, the [`Oracle`](super::Oracle)
//! looks at now and then.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use nix::sys::socket::SockProtocol;

use super::netlink::{attributes, dump, family_header, is_group, open, u32_at};
use crate::netns;

const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const GET_NEIGHBOUR: u16 = 30;
const GET_RULE: u16 = 34;
/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_GETTABLE`, `GETCHAIN`, `GETRULE` and `GETSET`.
const FIREWALL: [(&str, u16); 4] =
    [("table", 10 << 8 | 1), ("chain", 10 << 8 | 4), ("rule", 10 << 8 | 7), ("set", 10 << 8 | 10)];
const TABLE_LOCAL: u8 = 255;
const NEIGHBOUR_IS_PERMANENT: u16 = 0x80;

/// How often each thing is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance(BTreeMap<String, usize>);

impl Glance {
    /// At network namespaces and folders. A namespace that is gone has nothing.
    pub fn at(places: &[(&str, &Path)], folders: &[&Path]) -> anyhow::Result<Self> {
        let mut glance = Self::default();
        for (name, path) in places.iter().filter(|(_, path)| path.exists()) {
            let seen = netns::inside(path, look)?.context("cannot ask the kernel over netlink")?;
            seen.into_iter().for_each(|thing| glance.add(format!("{name}: {thing}")));
        }
        folders.iter().for_each(|folder| glance.files(folder, ""));
        Ok(glance)
    }

    fn add(&mut self, thing: String) {
        *self.0.entry(thing).or_default() += 1;
    }

    fn files(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}/{}", entry.file_name().display());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                self.files(&entry.path(), &name);
            }
            if !is_folder && !is_bookkeeping(&name) {
                self.add(format!("file {name}"));
            }
        }
    }

    /// How many things there are whose names begin so.
    pub fn count(&self, prefix: &str) -> usize {
        self.0.iter().filter(|(thing, _)| thing.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// How the second differs from this one, a sentence for each thing.
    pub fn diff(&self, after: &Self) -> Vec<String> {
        let count = |glance: &Self, thing: &str| glance.0.get(thing).copied().unwrap_or_default();
        let mut told: Vec<String> = self.0.keys().chain(after.0.keys()).cloned().collect();
        told.sort();
        told.dedup();
        told.retain(|thing| count(self, thing) != count(after, thing));
        told.iter()
            .map(|thing| format!("{thing}: {} before, {} after", count(self, thing), count(after, thing)))
            .collect()
    }
}

/// What stays for good on a node: host-local's marks, and the ledger's own files, which begin with a dot. Locks of sandboxes
/// and damaged entries do not; unfinished ones are GC's and the sweeps' to remove.
fn is_bookkeeping(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    let of_ledger = name.contains("/manifold/.") || name.contains("/manifold-links/");
    let of_sandbox = name.contains("/.damaged/") || name.contains("/.locks/");
    let lock_of_all = name.contains("/.locks/.");
    let of_host_local = file == "lock" || file.starts_with("last_reserved_ip.");
    of_host_local
        || file == ".boot"
        || (of_ledger && name.contains("/manifold/.") && (!of_sandbox || lock_of_all))
}

fn look() -> io::Result<Vec<String>> {
    let route = open(SockProtocol::NetlinkRoute)?;
    let list = |kind, length| dump(&route, kind, &family_header(0, length));
    let mut seen: Vec<String> =
        list(GET_LINK, 16)?.iter().map(|link| format!("link {}", name_of_link(link))).collect();
    seen.extend(
        list(GET_ADDRESS, 8)?.iter().map(|address| format!("address {}", bytes(address, 8, &[1, 2]))),
    );
    // Routes of the kernel's own to local and multicast addresses come and go with addresses, which are told.
    let routes = list(GET_ROUTE, 12)?;
    let routes = routes.iter().filter(|route| route.get(4) != Some(&TABLE_LOCAL) && route.get(1) != Some(&8));
    seen.extend(routes.map(|route| format!("route {}", bytes(route, 12, &[1, 15]))));
    let neighbours = list(GET_NEIGHBOUR, 12)?;
    let set =
        |entry: &&Vec<u8>| super::netlink::u16_at(entry, 8) & NEIGHBOUR_IS_PERMANENT != 0 && !is_group(entry);
    seen.extend(
        neighbours.iter().filter(set).map(|entry| format!("neighbour {}", bytes(entry, 12, &[1, 2]))),
    );
    seen.extend(list(GET_RULE, 12)?.iter().map(|rule| format!("rule {}", u32_at(&bytes_of(rule, 12, 6), 0))));
    let firewall = open(SockProtocol::NetlinkNetFilter)?;
    for (what, kind) in FIREWALL {
        // A kernel without nftables has none.
        let objects = dump(&firewall, kind, &[0; 4]).unwrap_or_default();
        seen.extend(objects.iter().map(|object| format!("nftables {what} {}", text(object, &[1, 2, 3]))));
    }
    Ok(seen)
}

fn name_of_link(link: &[u8]) -> String {
    const NAME: u16 = 3;
    String::from_utf8_lossy(&bytes_of(link, 16, NAME)).trim_end_matches('\0').to_owned()
}

fn bytes_of(message: &[u8], header: usize, number: u16) -> Vec<u8> {
    attributes(message, header)
        .find(|(found, _)| *found == number)
        .map(|(_, value)| value.to_vec())
        .unwrap_or_default()
}

fn bytes(message: &[u8], header: usize, numbers: &[u16]) -> String {
    let hex = |value: Vec<u8>| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    numbers.iter().map(|number| hex(bytes_of(message, header, *number))).collect::<Vec<_>>().join(" ")
}

/// The names in an object of nftables; numbers of rules are given anew each time.
fn text(object: &[u8], numbers: &[u16]) -> String {
    let word = |number: &u16| {
        let value = bytes_of(object, 4, *number);
        let is_text = value.split_last().is_some_and(|(end, text)| {
            *end == 0 && text.iter().all(u8::is_ascii_graphic) && !text.is_empty()
        });
        is_text.then(|| String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned())
    };
    numbers.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}
