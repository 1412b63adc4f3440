//! The command lines of the control plane, and the keys and certificates that they name.

use std::path::Path;

use crate::certificates::{Authority, token_keys};
use crate::kubeconfig;

use super::Ports;

pub(crate) struct Flags {
    pub(crate) etcd: Vec<String>,
    pub(crate) controllers: Vec<String>,
}

/// Writes everything that the components read at their start.
pub(crate) fn write_files(folder: &Path, ports: Ports, authority: &Authority) -> anyhow::Result<Flags> {
    authority.server("apiserver", &[])?;
    authority.client("front-proxy", "front-proxy-client", None)?;
    authority.client("to-kubelet", "kube-apiserver-kubelet-client", Some("system:masters"))?;
    token_keys(&folder.join("pki"))?;
    let controllers = authority.client("controllers", "system:kube-controller-manager", None)?;
    let kubeconfig = folder.join("controllers.kubeconfig");
    kubeconfig::write(&kubeconfig, ports.api, authority, &kubeconfig::User::Certificate(&controllers))?;
    Ok(Flags { etcd: etcd(folder, ports), controllers: controller_manager(folder) })
}

pub(crate) fn etcd(folder: &Path, ports: Ports) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    vec![
        "--name=etcd".into(),
        format!("--data-dir={}", folder.join("etcd").display()),
        // No machine's crash has to be survived here, and a disk that syncs slowly would time every test.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=etcd={peer}"),
        // Two gigabytes, the default, do not hold the pods of a large cluster.
        "--quota-backend-bytes=8589934592".into(),
        "--log-level=warn".into(),
    ]
}

pub(crate) fn api_server(folder: &Path, ports: Ports, more: &[String]) -> Vec<String> {
    let pki = |name: &str| folder.join("pki").join(name).display().to_string();
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={}", ports.api),
        format!("--cert-dir={}", folder.join("pki").display()),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("tokens.pub")),
        format!("--service-account-signing-key-file={}", pki("tokens.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--allow-privileged=true".into(),
        "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
        format!("--kubelet-client-certificate={}", pki("to-kubelet.crt")),
        format!("--kubelet-client-key={}", pki("to-kubelet.key")),
        format!("--requestheader-client-ca-file={}", pki("ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy.key")),
        // By the Service and not by its endpoints, which may not lie on loopback: a webhook of a test does, behind a
        // Service of type ExternalName.
        "--enable-aggregator-routing=false".into(),
    ];
    flags.extend_from_slice(more);
    flags
}

pub(crate) fn controller_manager(folder: &Path) -> Vec<String> {
    let kubeconfig = folder.join("controllers.kubeconfig").display().to_string();
    let pki = |name: &str| folder.join("pki").join(name).display().to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        "--leader-elect=false".into(),
        "--use-service-account-credentials=true".into(),
        // Its own serving port would be one more to clash over, and nobody asks it anything.
        "--secure-port=0".into(),
        format!("--service-account-private-key-file={}", pki("tokens.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        // Tests delete namespaces by the dozen, each of them some sixty requests.
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
        "--concurrent-namespace-syncs=20".into(),
    ]
}
