//! A webhook that is spoken to without an API server in between, and the API server that it reads from.

use kube::Client;
use manifold_controller::config::Config;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use super::bed::{CONFIGURATIONS, Leader, Replica, client, configuration, lifetimes, pod, until};
use super::wire::{Answer, Wire};

/// Its one network is `shop/plain`.
pub(crate) struct Target {
    pub(crate) api: ApiServer,
    pub(crate) replica: Replica,
    pub(crate) bundle: String,
    _leader: Leader,
}

impl Target {
    pub(crate) fn start() -> Self {
        let target = Self::start_as(client);
        until("the watch knows the network", || target.reads_nothing());
        target
    }

    /// With a replica that speaks to the API server through the client that it is given.
    pub(crate) fn start_as(speaks: impl Fn(&ApiServer) -> Client) -> Self {
        use base64::Engine as _;
        let api = ApiServer::start().unwrap();
        for namespace in ["manifold-system", "shop"] {
            api.ensure_namespace(namespace).unwrap();
        }
        api.definition("shop", "plain", r#"{"cniVersion": "1.0.0", "type": "fake"}"#).unwrap();
        // Known to take no address from a pod, by capability or by CNI_ARGS.
        let deaf = r#"{"cniVersion": "1.0.0", "type": "ptp", "ipam": {"type": "dhcp"}}"#;
        api.definition("shop", "deaf", deaf).unwrap();
        let client = client(&api);
        let replica = Replica::start(&speaks(&api), Config::default());
        api.client().send("POST", CONFIGURATIONS, &configuration(replica.port, |_| {})).unwrap();
        let _leader = Leader::start(&client, Config::default(), lifetimes(3600));
        let told = || -> Option<String> {
            let object = api.client().get(&format!("{CONFIGURATIONS}/manifold")).ok()?.json().ok()?;
            let ca = object["webhooks"][0]["clientConfig"]["caBundle"].as_str()?.to_owned();
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(ca).ok()?).ok()
        };
        until("the certificate is served", || {
            told().is_some_and(|ca| Wire::connect(replica.port, &ca).is_ok())
        });
        let bundle = told().unwrap();
        Self { bundle, api, replica, _leader }
    }

    /// A review of a pod without fault, for which no definition had to be read.
    fn reads_nothing(&self) -> bool {
        let before = self.api.request_counts().unwrap();
        let (status, _) = self.answer("/pods", review("plain").to_string().as_bytes());
        let spent = self.api.request_counts().unwrap().since(&before);
        status == 200 && spent.of("GET", "network-attachment-definitions") == 0
    }

    /// Who takes too long over the first words is sent away; on a busy machine that may be us.
    pub(crate) fn wire(&self) -> Wire {
        let mut wire = None;
        until("it shakes hands", || {
            wire = Wire::connect(self.replica.port, &self.bundle).ok();
            wire.is_some()
        });
        wire.unwrap()
    }

    /// What it says to one POST, asked as often as it takes: of 503, that there was no time, nothing follows.
    pub(crate) fn answer(&self, path: &str, body: &[u8]) -> Answer {
        let mut answer = (503, String::new());
        until("it answers in time", || {
            answer = self.wire().post(path, body).unwrap();
            answer.0 != 503
        });
        answer
    }

    /// Still answers as it should.
    pub(crate) fn is_well(&self) {
        let (status, body) = self.answer("/pods", review("plain").to_string().as_bytes());
        assert!(status == 200 && body.contains(r#""allowed":true"#), "{status} {body}");
    }
}

pub(crate) fn review(networks: &str) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "cart", "userInfo": {"username": "jane"},
        "object": pod("cart", &[("k8s.v1.cni.cncf.io/networks", networks)]),
    }})
}
