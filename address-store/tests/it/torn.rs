//! Files that are cut off or changed: set aside, never trusted, never "nothing to do".

use std::fs;

use manifold_addresses::intent::Intent;

use crate::bed::{Bed, assert_unique, large, soon};

/// Each way in which one file can be wrong: cut before each byte, each byte changed.
fn torn(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    cut.chain(flipped)
}

// Proves: IPAM-67
#[test]
fn torn_holdings_give_nothing_are_set_aside_and_come_back_from_the_api_server() {
    let bed = Bed::new();
    let node = bed.node("a");
    let ip = node.add("c", &large()).unwrap();
    let path = node.folder().path().join("holdings");
    let whole = fs::read(&path).unwrap();
    let good = node.holdings();
    for (n, bytes) in torn(&whole).enumerate() {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(node.give("d", &large()), None, "way {n}");
        assert_eq!(fs::read(node.folder().path().join("holdings.damaged")).unwrap(), bytes);
        assert_eq!(node.leases(), [(ip, "c".to_owned())]);
        if n % 16 == 0 {
            node.settle();
            assert_eq!(node.holdings().iter().count(), good.iter().count());
            assert!(node.give("d", &large()).is_some());
            node.del("d");
        }
    }
    node.settle();
    assert_unique(&[node]);
}

#[test]
fn a_newer_releases_holdings_are_left_as_they_are() {
    let bed = Bed::new();
    let node = bed.node("a");
    node.add("c", &large()).unwrap();
    let path = node.folder().path().join("holdings");
    let body = String::from_utf8(fs::read(&path).unwrap()).unwrap().replace("holdings 1\n", "holdings 2\n");
    let body = body.rsplit_once("crc32").unwrap().0.to_owned();
    let newer = format!("{body}crc32 {:08x}\n", crc32fast::hash(body.as_bytes()));
    fs::write(&path, &newer).unwrap();
    let error = node.add("d", &large()).unwrap_err().to_string();
    assert!(error.contains("go back to the newer release"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

// Shows part of: IPAM-67
#[test]
fn a_torn_lease_keeps_its_address_and_an_empty_one_is_nobodys() {
    let bed = Bed::new();
    let node = bed.node("a");
    let one = crate::bed::pool("10.2.0.0/16", "10.2.1.7", "10.2.1.7");
    let ip = node.add("c", &one).unwrap();
    let path = node.folder().path().join(ip.to_string());
    let whole = fs::read(&path).unwrap();
    for bytes in torn(&whole).filter(|bytes| bytes.iter().any(|b| *b != 0)) {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(node.give("d", &one), None);
        assert!(path.exists());
    }
    for bytes in [&[][..], &[0; 60]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(node.give("d", &one), Some(ip));
        node.del("d");
    }
}

// Shows part of: IPAM-67
#[test]
fn a_torn_intent_was_followed_by_no_request_and_goes() {
    let bed = Bed::new();
    let node = bed.node("a");
    let block = "10.1.7.16".parse().unwrap();
    let path = node.folder().path().join(format!("intent.{block}"));
    drop(node.folder().lock(soon()).unwrap());
    for bytes in torn(&Intent { block }.encode()) {
        fs::write(&path, &bytes).unwrap();
        let claiming = node.folder().claiming(soon()).unwrap();
        assert_eq!(node.folder().intents(&claiming).unwrap(), []);
        assert!(!path.exists());
    }
    fs::write(&path, Intent { block }.encode()).unwrap();
    node.settle();
    assert!(!path.exists());
    assert_eq!(bed.api.requests(), ["get default.10-1-7-16"]);
}

/// Golden: the format that a later release must read.
// Shows part of: IPAM-67
#[test]
fn files_of_this_format_are_read() {
    let bed = Bed::new();
    let node = bed.node("a");
    drop(node.folder().lock(soon()).unwrap());
    let golden = "manifold-addresses holdings 1\n\
                  domain default node uid-a store 0123456789abcdef0123456789abcdef\n\
                  block 10.1.7.16 whole closing=0000 withheld=0080 boot=b-1 at=77\n\
                  block 10.1.9.32 0009 closing=0001 withheld=0000\n";
    let sealed = format!("{golden}crc32 {:08x}\n", crc32fast::hash(golden.as_bytes()));
    fs::write(node.folder().path().join("holdings"), &sealed).unwrap();
    let held: Vec<String> =
        node.folder().look().unwrap().unwrap().iter().map(|(b, _)| b.to_string()).collect();
    assert_eq!(held, ["10.1.7.16", "10.1.9.32"]);
    assert_eq!(node.folder().look().unwrap().unwrap().encode(), sealed.as_bytes());
}
