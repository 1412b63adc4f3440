//! The files that a node keeps of cluster-wide addresses. Text that does not begin as a file does is sealed first, as no
//! fuzzer would find the checksum.

use std::borrow::Cow;

use manifold_addresses::file::{self, Damage};
use manifold_addresses::holdings::Holdings;
use manifold_addresses::intent::Intent;
use manifold_addresses::lease::Lease;

use super::text;
use crate::Answer;

pub(super) fn holdings(input: &[u8]) -> Answer {
    read("holdings", input, Holdings::decode, Holdings::encode, |holdings| {
        format!("domain {}, {} blocks", holdings.domain, holdings.iter().count())
    })
}

pub(super) fn lease(input: &[u8]) -> Answer {
    read("lease", input, Lease::decode, Lease::encode, |lease| format!("{lease:?}"))
}

pub(super) fn intent(input: &[u8]) -> Answer {
    read("intent", input, Intent::decode, Intent::encode, |intent| format!("block {}", intent.block))
}

/// The promise of all three: anything but exactly what is written is refused.
fn read<T>(
    kind: &str,
    input: &[u8],
    decode: fn(&[u8]) -> Result<T, Damage>,
    encode: fn(&T) -> Vec<u8>,
    describe: fn(&T) -> String,
) -> Answer {
    let _ = decode(input);
    let bytes = sealed(kind, input);
    match decode(&bytes) {
        Err(damage) => Answer::refused(damage),
        Ok(value) => {
            let written = encode(&value);
            assert_eq!(text(&written), text(&bytes), "what was read is not what would be written");
            Answer::Accepted(describe(&value))
        }
    }
}

fn sealed<'a>(kind: &str, input: &'a [u8]) -> Cow<'a, [u8]> {
    if input.starts_with(b"manifold-addresses ") || std::str::from_utf8(input).is_err() {
        return Cow::Borrowed(input);
    }
    let text = text(input);
    let lines: Vec<String> =
        text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned).collect();
    Cow::Owned(file::seal(kind, &lines))
}
