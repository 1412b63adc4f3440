//! Kubernetes names that users write: each parsed once, then safe in a path, a URL and an environment.

pub use manifold_cni::name::BadName;
use manifold_cni::name_type;

name_type!(
    /// A namespace: one DNS-1123 label.
    Namespace, "namespace", |raw| label(raw, 63)
);

name_type!(
    /// The name of a NetworkAttachmentDefinition: DNS-1123 labels joined by dots (COMPAT-8). 63 characters are advised
    /// (NPWG-3.3-2); what the API server stores is accepted.
    NadName, "network name", subdomain
);

name_type!(
    /// A pod's name: DNS-1123 labels joined by dots.
    PodName, "pod name", subdomain
);

name_type!(
    /// The name of an IPAMClaim; dots are usual in it (NPWG-8.3-1).
    ClaimName, "IPAM claim name", subdomain
);

name_type!(
    /// A pod's UID. The kubelet gives a static pod a bare hash, so this is not always a UUID.
    PodUid, "pod UID", |raw| {
        if raw.is_empty() {
            return Some("it is empty");
        }
        if raw.len() > 128 {
            return Some("it is longer than 128 bytes");
        }
        let bad = raw.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')));
        bad.then_some("only letters, digits, `-`, `_` and `.` are allowed")
    }
);

name_type!(
    /// A device-plugin resource, `vendor.example/name`.
    ResourceName, "resource name", |raw| {
        let (domain, name) = raw.split_once('/').unwrap_or(("x", raw));
        if name.is_empty() || name.len() > 63 {
            return Some("its name part must have 1 to 63 characters");
        }
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !name.bytes().all(inner) {
            return Some("its name part may have only letters, digits, `-`, `_` and `.`");
        }
        subdomain(domain)
    }
);

name_type!(
    /// The id a device plugin knows a device by, often a PCI address. Delegates build paths from it, so it has
    /// nothing in it that could leave a folder (S-17).
    DeviceId, "device id", |raw| {
        if raw.is_empty() {
            return Some("it is empty");
        }
        if raw.len() > 128 {
            return Some("it is longer than 128 bytes");
        }
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'_' | b'-' | b'@' | b'+' | b'=');
        if !raw.bytes().all(ok) {
            return Some("only letters, digits and `:._-@+=` are allowed");
        }
        raw.bytes().all(|b| b == b'.').then_some("it has only dots")
    }
);

/// A DNS-1123 label: lower-case letters, digits and `-`, alphanumeric at both ends.
pub(crate) fn label(raw: &str, most: usize) -> Option<&'static str> {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = raw.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Some("it is empty") };
    if raw.len() > most {
        return Some(if most == 63 {
            "it is longer than 63 characters"
        } else {
            "it is longer than 253 characters"
        });
    }
    if !bytes.iter().all(|b| alphanumeric(b) || *b == b'-') {
        return Some("only lower-case letters, digits and `-` are allowed");
    }
    (!alphanumeric(first) || !alphanumeric(last)).then_some("it must begin and end with a letter or a digit")
}

pub(crate) fn subdomain(raw: &str) -> Option<&'static str> {
    if raw.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    raw.split('.').find_map(|part| label(part, 253))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[track_caller]
    fn good<T: FromStr<Err = BadName>>(raw: &str) {
        assert!(raw.parse::<T>().is_ok(), "{raw:?} should be accepted");
    }

    #[track_caller]
    fn bad<T: FromStr<Err = BadName>>(raw: &str) {
        let error = raw.parse::<T>().err().unwrap_or_else(|| panic!("{raw:?} should be refused"));
        let text = error.to_string();
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "hostile text reaches the message: {text:?}"
        );
    }

    // Proves: NPWG-3.3-1, NPWG-3.3-2, F-INP-2
    // Shows part of: COMPAT-8
    #[test]
    fn network_names_are_dns_labels_joined_by_dots() {
        for raw in ["a", "net-1", "0", "a--b", "cluster-wide-network"] {
            good::<NadName>(raw);
            good::<Namespace>(raw);
        }
        good::<NadName>(&"x".repeat(64));
        bad::<Namespace>(&"x".repeat(64));
        for raw in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a..b",
            ".a",
            "a.",
            "a.-b",
            "../../etc",
            "a/b",
            "a\0b",
            "%2f",
            "а",
            "a\u{202e}b",
            "a\r\nb",
            " a",
            "a ",
            "é",
            "..",
            ".",
        ] {
            bad::<NadName>(raw);
            bad::<Namespace>(raw);
        }
        bad::<NadName>(&"x".repeat(300));
        // Kubernetes joins labels by dots in names of objects, and in those of namespaces it does not.
        for raw in ["a.b", "net.v2.example.com", "0.1"] {
            good::<NadName>(raw);
            bad::<Namespace>(raw);
        }
    }

    #[test]
    fn a_device_id_cannot_leave_its_folder() {
        for raw in ["0000:03:02.3", "gpu0", "a-b_c@1"] {
            good::<DeviceId>(raw);
        }
        for raw in ["", ".", "..", "../x", "a/b", "a b", "a\n", "é", "a\0"] {
            bad::<DeviceId>(raw);
        }
    }

    #[test]
    fn resource_and_claim_names_may_have_dots() {
        good::<ResourceName>("vendor.example/sriov_pool.a");
        good::<ResourceName>("plain");
        good::<ClaimName>("vm-a.net.pod1");
        good::<PodUid>("0f1e2d3c-0000-4000-8000-0123456789ab");
        for raw in ["", "a/", "/b", "a/b/c", "A.b/c d", "a..b/c"] {
            bad::<ResourceName>(raw);
        }
        bad::<ClaimName>("a..b");
        bad::<PodUid>("a;MAC=1");
    }
}
