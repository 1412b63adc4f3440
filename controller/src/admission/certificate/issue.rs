//! Issues a certificate: an authority, one signature, and the authority's key is gone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::stored::{Issued, Key};

/// Clocks of API servers differ; a certificate is no good to one that thinks it comes from the future.
const EARLIER: Duration = Duration::from_secs(3600);

/// The names that the API server may call the webhook by.
pub(in crate::admission) fn names(service: &str, namespace: &str) -> Vec<String> {
    ["svc", "svc.cluster.local"].iter().map(|end| format!("{service}.{namespace}.{end}")).collect()
}

/// A new certificate for these names and for loopback, where an API server of the same host may call.
pub(in crate::admission) fn issue(
    names: &[String],
    now: Timestamp,
    expires: Timestamp,
) -> anyhow::Result<Issued> {
    let (authority, issuer) = authority(now, expires)?;
    let mut params = params(names.first().map_or("manifold", String::as_str), now, expires)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names {
        let name = name.as_str().try_into().with_context(|| format!("`{name}` is not a DNS name"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    let key = KeyPair::generate().context("cannot create a key")?;
    let certificate = params.signed_by(&key, &issuer).context("cannot sign a certificate")?.pem();
    Ok(Issued { authority, certificate, key: Key(key.serialize_pem()), issued: now, expires })
}

fn authority(now: Timestamp, expires: Timestamp) -> anyhow::Result<(String, Issuer<'static, KeyPair>)> {
    // A name of its own each: who verifies a chain finds the issuer by name first.
    let mut params = params(&format!("manifold-webhook-ca-{}", now.as_second()), now, expires)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().context("cannot create a key")?;
    let pem = params.self_signed(&key).context("cannot sign the certificate authority")?.pem();
    Ok((pem, Issuer::new(params, key)))
}

fn params(name: &str, now: Timestamp, expires: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let since_1970 = |time: Timestamp| u64::try_from(time.as_second()).context("the clock is before 1970");
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(since_1970(now)?).saturating_sub(EARLIER);
    params.not_after = epoch + Duration::from_secs(since_1970(expires)?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
