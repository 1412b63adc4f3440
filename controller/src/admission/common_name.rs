//! The common name in a certificate, by which Kubernetes knows who it is.
//!
//! Read from certificates that were verified already, and from no others.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// 2.5.4.3
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Serial number, signature, issuer, validity: what stands before the subject.
const BEFORE_SUBJECT: usize = 4;

/// The last one, if there are several.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let (SEQUENCE, mut certificate) = take(&mut &*certificate)? else { return None };
    let (SEQUENCE, mut fields) = take(&mut certificate)? else { return None };
    if fields.first() == Some(&VERSION) {
        take(&mut fields)?;
    }
    for _ in 0..BEFORE_SUBJECT {
        take(&mut fields)?;
    }
    let (SEQUENCE, mut names) = take(&mut fields)? else { return None };
    let mut found = None;
    while !names.is_empty() {
        let (SET, mut set) = take(&mut names)? else { return None };
        while !set.is_empty() {
            let (SEQUENCE, mut pair) = take(&mut set)? else { return None };
            let key = take(&mut pair)?;
            let (kind, value) = take(&mut pair)?;
            if key == (OBJECT_IDENTIFIER, &COMMON_NAME[..]) {
                found = TEXTS.contains(&kind).then(|| String::from_utf8(value.to_vec()).ok()).flatten();
            }
        }
    }
    found
}

/// The next value: its kind and its bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&kind, after) = rest.split_first()?;
    let (&short, mut after) = after.split_first()?;
    let length = match short {
        0..=0x7f => usize::from(short),
        0x81..=0x83 => {
            let (long, more) = after.split_at_checked(usize::from(short & 0x7f))?;
            after = more;
            long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    let (value, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((kind, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        names.iter().for_each(|(kind, name)| params.distinguished_name.push(kind.clone(), *name));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        let long = "x".repeat(200);
        for name in ["kube-apiserver", "übung", &long] {
            let names = [(DnType::OrganizationName, "system:masters"), (DnType::CommonName, name)];
            assert_eq!(common_name(&certificate(&names)).as_deref(), Some(name));
        }
        assert_eq!(common_name(&certificate(&[(DnType::OrganizationName, "kube-apiserver")])), None);
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn reading_never_panics(at in 0..400_usize, byte: u8, end in 0..400_usize) {
            let mut bytes = certificate(&[(DnType::CommonName, "a")]);
            bytes[at % 300] = byte;
            bytes.truncate(end.max(300));
            let _ = common_name(&bytes);
            let _ = common_name(&bytes[..end.min(bytes.len())]);
        }
    }
}
