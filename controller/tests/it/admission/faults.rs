//! The shipped configuration under faults: the API server goes on without us, and what holds without us holds.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::Method;
use manifold_controller::config::Config;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::{ports, project};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::bed::{
    CONFIGURATIONS, Leader, Outcome, Replica, client, configuration, definition, definitions, lifetimes, pod,
    pods, request, until,
};

/// A pod that the webhook refuses.
fn refusable(name: &str) -> Value {
    pod(name, &[("k8s.v1.cni.cncf.io/networks", ",,")])
}

struct Faults {
    api: ApiServer,
    client: kube::Client,
}

impl Faults {
    fn start() -> Self {
        let api = ApiServer::start().unwrap();
        for namespace in ["manifold-system", "default", "shop"] {
            api.ensure_namespace(namespace).unwrap();
        }
        Self { client: client(&api), api }
    }

    /// The shipped configuration, calling `port`, whoever is there.
    fn call(&self, port: u16, ca: Option<&str>) {
        let object = configuration(port, |webhook| {
            if let Some(ca) = ca {
                let ca = base64::engine::general_purpose::STANDARD.encode(ca);
                webhook["clientConfig"]["caBundle"] = json!(ca);
            }
        });
        let _ =
            self.api.client().call("DELETE", &format!("{CONFIGURATIONS}/manifold"), "application/json", b"");
        self.api.client().send("POST", CONFIGURATIONS, &object).unwrap();
    }

    fn create(&self, object: &Value) -> (Outcome, Duration) {
        let began = Instant::now();
        (request(&self.client, &Method::POST, &pods("shop"), Some(object), None), began.elapsed())
    }
}

/// What was sent, a text for each who came.
#[derive(Clone, Default)]
struct Came(Arc<Mutex<Vec<String>>>);

impl Came {
    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a review of this pod came.
    fn has(&self, pod: &str) -> bool {
        self.all().iter().any(|text| text.contains(&format!(r#""name":"{pod}""#)))
    }
}

/// An endpoint that shakes hands, reads, and says nothing for as long as anybody waits. It notes who came.
fn silent(api: &ApiServer) -> (u16, Came) {
    let identity = api.authority().server("silent", &[]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Came::default();
    let note = came.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, note) = (Arc::clone(&config), note.clone());
            std::thread::spawn(move || hold(stream, config, &note));
        }
    });
    (port, came)
}

fn hold(stream: TcpStream, config: Arc<ServerConfig>, came: &Came) {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut piece = [0; 4096];
    let mut own = None;
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        let mut all = came.all();
        let own = *own.get_or_insert_with(|| {
            all.push(String::new());
            all.len() - 1
        });
        all[own].push_str(&String::from_utf8_lossy(&piece[..count]));
    }
}

// Proves: F-CTL-1
#[test]
fn a_webhook_that_is_down_slow_or_expired_stops_nobody_and_policies_hold() {
    let bed = Faults::start();
    let replica = Replica::start(&bed.client, Config::default());
    bed.call(replica.port, None);
    let leader = Leader::start(&bed.client, Config::default(), lifetimes(3600));
    // As it should be: it refuses.
    let dry = format!("{}?dryRun=All", pods("shop"));
    until("the webhook refuses", || {
        request(&bed.client, &Method::POST, &dry, Some(&refusable("healthy")), None).status == 403
    });
    leader.end();

    // Slow: two seconds, and the pod is made.
    let (port, came) = silent(&bed.api);
    bed.call(port, Some(bed.api.authority().pem()));
    until("the slow one is asked", || {
        request(&bed.client, &Method::POST, &dry, Some(&refusable("probe")), None);
        came.has("probe")
    });
    let (outcome, took) = bed.create(&refusable("slow"));
    assert!(outcome.allowed(), "{outcome:?}");
    assert!((Duration::from_millis(1_900)..Duration::from_secs(20)).contains(&took), "{took:?}");
    until("it was sent there", || came.has("slow"));
    // Who asks for no network is not sent there.
    let (outcome, _) = bed.create(&pod("plain", &[("team", "a")]));
    assert!(outcome.allowed() && !came.has("plain"), "{outcome:?}");

    // Down: nobody listens.
    let [closed] = ports::free(None).unwrap();
    bed.call(closed, Some(bed.api.authority().pem()));
    let mut turn = 0;
    until("the closed port is asked", || {
        turn += 1;
        let name = format!("probe-{turn}");
        let began = Instant::now();
        request(&bed.client, &Method::POST, &dry, Some(&refusable(&name)), None);
        // Sent to the slow one still, it would have waited for it.
        began.elapsed() < Duration::from_millis(1_900) && !came.has(&name)
    });
    let (outcome, took) = bed.create(&refusable("down"));
    assert!(outcome.allowed() && took < Duration::from_secs(20), "{outcome:?} {took:?}");
    assert!(!came.has("down") && !came.has("plain"));
    policies_hold(&bed);
}

/// With the webhook down a network still does not change under its pods.
fn policies_hold(bed: &Faults) {
    let file = project::root().join("deploy/policies/network-in-use.yaml");
    bed.api.apply(&std::fs::read_to_string(file).unwrap()).unwrap();
    let config = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;
    let mut object = definition("used", Some(config));
    object["metadata"]["finalizers"] = json!(["manifold.network/in-use"]);
    bed.api.client().send("POST", &definitions("shop"), &object).unwrap();
    let path = format!("{}/used?dryRun=All", definitions("shop"));
    let patch = |change: Value| request(&bed.client, &Method::PATCH, &path, Some(&change), None);
    let change = json!({"spec": {"config": config.replace("fake", "other")}});
    until("the policy refuses", || patch(change.clone()).message.contains("pods use this network"));
    assert!(patch(json!({"metadata": {"labels": {"a": "b"}}})).allowed());
}

// Proves: F-CTL-1
#[test]
fn a_certificate_that_has_expired_stops_nobody() {
    let bed = Faults::start();
    let replica = Replica::start(&bed.client, Config::default());
    bed.call(replica.port, None);
    // One that is good for some seconds, in which also a busy machine tells the API server of it; and nobody who would
    // renew it.
    let mut once = lifetimes(10);
    once.look = Duration::from_secs(86_400);
    let _leader = Leader::start(&bed.client, Config::default(), once);
    let ca = || {
        let object = bed.api.client().get(&format!("{CONFIGURATIONS}/manifold")).unwrap().json().unwrap();
        let ca = object["webhooks"][1]["clientConfig"]["caBundle"].as_str()?.to_owned();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(ca).unwrap()).ok()
    };
    until("the CA is told", || ca().is_some());
    let ca = ca().unwrap();
    until("the certificate is expired", || {
        let error = super::wire::Wire::connect(replica.port, &ca).err().map(|e| e.to_string());
        error.is_some_and(|e| e.to_lowercase().contains("expired"))
    });
    let (outcome, _) = bed.create(&refusable("expired"));
    assert!(outcome.allowed(), "{outcome:?}");
}

// Proves: S-19
#[test]
fn the_shipped_configuration_lets_the_api_server_go_on_without_us() {
    let shipped = configuration(1, |_| {});
    for webhook in shipped["webhooks"].as_array().unwrap() {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["timeoutSeconds"], 2);
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
    }
}
