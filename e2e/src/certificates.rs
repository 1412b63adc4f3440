//! A certificate authority of our own, and what it signs for an API server and its clients.
//!
//! Everything is written into one folder: `ca.crt`, and `NAME.crt` with `NAME.key` for each holder. There is no
//! revocation and no renewal; the whole authority lives as long as the server it was made for.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// Where the API server can be reached under its own name, beside the addresses.
const SERVER_NAMES: [&str; 5] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];
/// The first address of the service range: what pods know the API server by.
const SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// Signs certificates; its own is `ca.crt` of its folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM, and where they were written.
#[derive(Debug)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let mut params = params("manifold-test-ca", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("cannot make the authority's key")?;
        let pem = params.self_signed(&key).context("cannot sign the authority's certificate")?.pem();
        write(&folder.join("ca.crt"), &pem)?;
        write(&folder.join("ca.key"), &key.serialize_pem())?;
        Ok(Self { folder: folder.to_path_buf(), pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A serving certificate for the usual names of an API server, loopback, and the addresses given.
    pub fn server(&self, name: &str, more: &[IpAddr]) -> anyhow::Result<Identity> {
        let mut params = params(name, None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for known in SERVER_NAMES {
            params.subject_alt_names.push(SanType::DnsName(known.try_into().context("a name is not ASCII")?));
        }
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), SERVICE_ADDRESS].iter().chain(more) {
            params.subject_alt_names.push(SanType::IpAddress(*address));
        }
        self.sign(name, params)
    }

    /// A client certificate. Kubernetes reads the user from the common name, its groups from the organization.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> anyhow::Result<Identity> {
        let mut params = params(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, params)
    }

    fn sign(&self, file: &str, params: CertificateParams) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().with_context(|| format!("cannot make the key of `{file}`"))?;
        let signed = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign the certificate of `{file}`"))?;
        let identity = Identity {
            certificate: signed.pem(),
            key: key.serialize_pem(),
            certificate_file: self.folder.join(format!("{file}.crt")),
            key_file: self.folder.join(format!("{file}.key")),
        };
        write(&identity.certificate_file, &identity.certificate)?;
        write(&identity.key_file, &identity.key)?;
        Ok(identity)
    }
}

/// The pair of keys that signs service account tokens and verifies them: (private, public) files.
pub fn token_keys(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let key = KeyPair::generate().context("cannot make the key for service account tokens")?;
    let (private, public) = (folder.join("tokens.key"), folder.join("tokens.pub"));
    write(&private, &key.serialize_pem())?;
    write(&public, &key.public_key_pem())?;
    Ok((private, public))
}

fn params(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Wide, so that tests may turn the clock of a client by a year.
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.use_authority_key_identifier_extension = true;
    params
}

fn write(path: &Path, pem: &str) -> anyhow::Result<()> {
    fs::write(path, pem).with_context(|| format!("cannot write `{}`", path.display()))
}
