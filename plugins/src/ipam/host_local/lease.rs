//! What a lease file says: whose the address is. The bytes are those of the reference plugin, so that both can share
//! a folder (PLG-HL-7, PLG-HL-10).

use manifold_cni::AttachmentId;

/// Whose a lease is, seen from one attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Container and interface are ours.
    Ours,
    /// The container is ours, and the file is of a time when no interface was written.
    OursOfOld,
    Other,
    /// The file is empty. Whoever fills one holds the lock meanwhile, so under the lock that is what a crash left.
    Nobody,
}

/// The content for an attachment. CR LF on every system, for history's sake.
pub(super) fn content(of: &AttachmentId) -> Vec<u8> {
    format!("{}\r\n{}", of.container.trim(), of.ifname).into_bytes()
}

/// Splits a content into container and interface; `None` when it is empty.
pub(super) fn owner(content: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    // A power cut may leave the length of a file without its bytes.
    let text = content.trim_ascii();
    if text.iter().all(|b| *b == 0) {
        return None;
    }
    match text.iter().position(|b| *b == b'\r' || *b == b'\n') {
        None => Some((text, None)),
        Some(at) => {
            let (container, rest) = text.split_at(at);
            Some((container.trim_ascii_end(), Some(rest.trim_ascii())))
        }
    }
}

pub(super) fn holder(content: &[u8], of: &AttachmentId) -> Holder {
    match owner(content) {
        None => Holder::Nobody,
        Some((container, _)) if container != of.container.trim().as_bytes() => Holder::Other,
        Some((_, None)) => Holder::OursOfOld,
        Some((_, Some(ifname))) if ifname == of.ifname.as_bytes() => Holder::Ours,
        Some(_) => Holder::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AttachmentId {
        AttachmentId { container: "abc".into(), ifname: "net1".into() }
    }

    #[track_caller]
    fn check(raw: &[u8], expected: Holder) {
        assert_eq!(holder(raw, &id()), expected, "{:?}", String::from_utf8_lossy(raw));
    }

    // Proves: PLG-HL-7
    #[test]
    fn the_content_is_container_cr_lf_interface() {
        assert_eq!(content(&id()), b"abc\r\nnet1");
    }

    // Proves: PLG-HL-10
    #[test]
    fn a_lease_is_recognised_by_container_and_interface_in_every_form_it_ever_had() {
        check(b"abc\r\nnet1", Holder::Ours);
        check(b"  abc\r\nnet1 \n", Holder::Ours);
        check(b"abc\nnet1", Holder::Ours);
        check(b"abc", Holder::OursOfOld);
        check(b" abc\n", Holder::OursOfOld);
        check(b"abc\r\nnet2", Holder::Other);
        check(b"abcd\r\nnet1", Holder::Other);
        check(b"abcd", Holder::Other);
        check(b"", Holder::Nobody);
        check(b" \n", Holder::Nobody);
        check(&[0; 70], Holder::Nobody);
    }

    #[test]
    fn no_content_panics() {
        use proptest::prelude::*;
        proptest!(|(raw in proptest::collection::vec(any::<u8>(), 0..80))| { holder(&raw, &id()); });
    }
}
