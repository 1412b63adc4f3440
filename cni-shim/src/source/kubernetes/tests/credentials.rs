use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use super::server::Identity;
use super::*;

fn only(token: &'static str) -> impl Fn(&Seen, usize) -> Reply {
    move |seen, _| match seen.authorization.as_deref() == Some(format!("Bearer {token}").as_str()) {
        true => Reply::Json(200, pod_json()),
        false => Reply::Json(401, status_json(401, "Unauthorized", serde_json::json!({}))),
    }
}

// Proves: F-API-5, P-UP-6
#[test]
fn a_refused_token_is_read_again_and_the_call_repeated() {
    let server = Server::start(Wire::Http2, only("renewed"));
    let node = Node::of(&server);
    let mut source = node.source();
    source.session().unwrap();
    node.write("token", "renewed");
    assert_eq!(source.pod(&who(), soon(15_000)).unwrap().uid, "aaa");
    assert_eq!(server.seen().len(), 2);
    assert!(!node.mark().exists());
}

// Proves: F-API-5
#[test]
fn a_token_that_stays_refused_leaves_the_mark_and_ends_after_one_repeat() {
    let server = Server::start(Wire::Http2, only("another"));
    let node = Node::of(&server);
    let error = node.source().pod(&who(), soon(5000)).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::Unauthorized, 11));
    assert_eq!(server.seen().len(), 2);
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&node.mark()), 0o600);
    assert_eq!(mode(node.mark().parent().unwrap()), 0o700);
}

// Proves: F-API-5
#[test]
fn of_many_refused_calls_each_is_repeated_once() {
    let server = Server::start(Wire::Http2, |seen, _| match seen.authorization.as_deref() {
        Some("Bearer renewed") => Reply::Json(200, nad_json(&seen.target)),
        _ => Reply::Json(401, String::new()),
    });
    let node = Node::of(&server);
    let mut source = node.source();
    source.session().unwrap();
    node.write("token", "renewed");
    let names: Vec<NadRef> = (0..8).map(|n| nad(&format!("n{n}"))).collect();
    assert_eq!(source.definitions(&names, soon(15_000)).unwrap().len(), 8);
    assert!(server.seen().len() <= 16);
}

// Proves: F-API-7
#[test]
fn a_missing_file_is_told_with_who_writes_it() {
    let server = Server::start(Wire::Http2, pods);
    for name in ["kubeconfig", "token", "ca.crt"] {
        let node = Node::of(&server);
        std::fs::remove_file(node.path(name)).unwrap();
        let error = node.source().pod(&who(), soon(5000)).unwrap_err();
        assert_eq!((error.kind, error.code()), (Kind::Credentials, 11), "{error}");
        assert!(error.what.contains("the node agent writes it"), "{error}");
        assert!(error.what.contains(name), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

// Proves: F-API-7, S-8
#[test]
fn a_kubeconfig_cut_at_any_byte_is_code_11_and_gives_no_secret_away() {
    let identity = Identity::good();
    let url = "https://127.0.0.1:1";
    let data = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&identity.authority)
    };
    let whole = kubeconfig(url, &format!("certificate-authority-data: {data}"), &format!("token: {CANARY}"));
    let node = Node::with("", url);
    for end in 0..whole.len() {
        node.write("kubeconfig", &whole[..end]);
        let error = node.source().pod(&who(), soon(20)).unwrap_err();
        assert_eq!(error.code(), 11, "cut at {end}: {error}");
        assert!(!error.what.contains("canary"), "cut at {end}: {error}");
    }
    for odd in [
        "canary",
        "- canary",
        "users: canary",
        "users: [{name: u, user: canary}]",
        "\u{0}",
        "a: [",
        "&a [*a]",
    ] {
        node.write("kubeconfig", odd);
        let error = node.source().pod(&who(), soon(20)).unwrap_err();
        assert_eq!((error.kind, error.what.contains("canary")), (Kind::Credentials, false), "{error}");
    }
}

// Proves: F-API-7
#[test]
fn a_torn_token_is_not_sent() {
    let server = Server::start(Wire::Http2, pods);
    for torn in ["", "\n", "two words", "line\nbreak", "\u{e9}", "nul\0"] {
        let node = Node::of(&server);
        node.write("token", torn);
        let error = node.source().pod(&who(), soon(3000)).unwrap_err();
        assert_eq!((error.kind, error.code()), (Kind::Credentials, 11), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

// Proves: F-API-8
#[test]
fn no_key_turns_verification_off() {
    let server = Server::start(Wire::Http2, pods);
    let node = Node::of(&server);
    let url = format!("https://{}", server.address);
    node.write("kubeconfig", &kubeconfig(&url, "insecure-skip-tls-verify: true", "tokenFile: token"));
    let error = node.source().pod(&who(), soon(3000)).unwrap_err();
    assert_eq!(error.kind, Kind::Credentials);
    assert!(error.what.contains("`insecure-skip-tls-verify`"), "{error}");
    for url in ["http://10.0.0.1:80", "ftp://127.0.0.1", "127.0.0.1:1", "https://", "::"] {
        node.write(
            "kubeconfig",
            &kubeconfig(&format!("'{url}'"), "certificate-authority: ca.crt", "tokenFile: token"),
        );
        let error = node.source().pod(&who(), soon(3000)).unwrap_err();
        assert_eq!(error.kind, Kind::Credentials, "{url}: {error}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn keys_that_would_be_ignored_in_silence_are_refused() {
    let node = Node::with("", "https://127.0.0.1:1");
    for (cluster, user, words) in [
        ("proxy-url: http://p", "tokenFile: token", "`proxy-url`"),
        ("certificate-authority: ca.crt", "exec: {command: /bin/sh, apiVersion: v1}", "credential plugin"),
        ("certificate-authority: ca.crt", "auth-provider: {name: oidc}", "credential plugin"),
        ("certificate-authority: ca.crt", "username: a", "`username`"),
        ("certificate-authority: ca.crt", "tokenFile: token", "not a PEM certificate"),
        ("certificate-authority-data: '%'", "tokenFile: token", "not base64"),
    ] {
        node.write("kubeconfig", &kubeconfig("https://127.0.0.1:1", cluster, user));
        let error = node.source().pod(&who(), soon(3000)).unwrap_err();
        assert_eq!(error.kind, Kind::Credentials);
        assert!(error.what.contains(words), "{error}");
    }
}

#[test]
fn a_server_known_by_address_is_verified_by_its_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server =
        Server::start_on(listener, Wire::Http2, Identity::of("kubernetes.default.svc", 2001, 2099), pods);
    let node = Node::of(&server);
    assert_eq!(node.source().pod(&who(), soon(3000)).unwrap_err().kind, Kind::Tls);
    let url = format!("https://{}", server.address);
    let cluster = "certificate-authority: ca.crt\n    tls-server-name: kubernetes.default.svc";
    node.write("kubeconfig", &kubeconfig(&url, cluster, "tokenFile: token"));
    assert_eq!(node.source().pod(&who(), soon(15_000)).unwrap().uid, "aaa");
}

// Proves: MLT-CFG-4
#[test]
fn without_a_kubeconfig_the_environment_of_a_pod_is_used() {
    let server = Server::start(Wire::Http2, pods);
    let node = Node::of(&server);
    let environment = ClusterEnvironment {
        host: server.address.ip().to_string(),
        port: server.address.port().to_string(),
        secrets: node.dir.path().to_owned(),
    };
    let credentials = Credentials::InCluster(environment);
    let mut source = Kubernetes::new(credentials, &node.path("state"));
    assert_eq!(source.pod(&who(), soon(15_000)).unwrap().uid, "aaa");
    assert_eq!(server.seen()[0].authorization.as_deref(), Some(format!("Bearer {CANARY}").as_str()));
}

// Proves: S-2
#[test]
fn the_token_is_in_no_log_no_error_and_no_debug_text() {
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let memory = Memory::default();
    let to = memory.clone();
    // Everything that any library says, down to the finest level.
    let all = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || to.clone())
        .finish();
    tracing::subscriber::with_default(all, || {
        let server = Server::start(Wire::Http2, only("another"));
        let node = Node::of(&server);
        let mut source = node.source();
        let error = source.pod(&who(), soon(3000)).unwrap_err();
        assert!(server.seen()[0].authorization.as_deref().unwrap().contains(CANARY), "it was sent");
        tracing::error!("{error} {error:?} {source:?}");
        let mark = std::fs::read_to_string(node.mark()).unwrap();
        assert!(!mark.contains(CANARY));
    });
    let text = String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned();
    assert!(text.contains("TRACE"), "the log is on");
    assert!(!text.contains("canary"), "{}", text.lines().find(|l| l.contains("canary")).unwrap_or_default());
}
