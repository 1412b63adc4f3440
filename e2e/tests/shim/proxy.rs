//! A way to the real API server that speaks HTTP, so that single requests can be answered wrong, late or not at all.
//!
//! It serves with a certificate of the server's own authority, at the server's own address on the node.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::node::Node;

/// What becomes of one request.
#[derive(Clone)]
pub(crate) enum Fate {
    Pass,
    /// The real answer, this much later.
    Late(Duration),
    /// This status, with these header lines (each with its end) and this body.
    Answer(u16, &'static str, String),
    /// The answer begins, and the connection is closed.
    Cut,
}

/// `GET /api/v1/...`, and when it came.
type Seen = Arc<Mutex<Vec<(String, Instant)>>>;

/// Serves until it is dropped.
pub(crate) struct Proxy {
    seen: Seen,
    over: Arc<AtomicBool>,
}

type Rule = dyn Fn(&str, usize) -> Fate + Send + Sync;

impl Proxy {
    /// Takes the place of the node's plain way to the server. `rule` gets `METHOD path` and how many came before.
    pub(crate) fn new(
        node: &mut Node<'static>,
        rule: impl Fn(&str, usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let api = ApiServer::shared().unwrap();
        node.cut_off();
        let listener = listen(node, api.port());
        listener.set_nonblocking(true).unwrap();
        let (seen, over) = (Seen::default(), Arc::new(AtomicBool::new(false)));
        let (proxy, tls, rule) = (Self { seen: seen.clone(), over: over.clone() }, tls(api), Arc::new(rule));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(3));
                    continue;
                };
                let (tls, rule, seen) = (tls.clone(), rule.clone(), seen.clone());
                thread::spawn(move || serve(api, client, tls, &*rule, &seen));
            }
        });
        proxy
    }

    /// All requests so far, without their query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(request, _)| request.clone()).collect()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// The way that was there before gives the port free a moment after it was dropped.
fn listen(node: &Node<'_>, port: u16) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match node.host.netns().run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).unwrap() {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "port {port}: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn tls(api: &ApiServer) -> Arc<ServerConfig> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("proxy-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let identity = api.authority().server(&name, &[]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

struct Request {
    method: String,
    path: String,
    kind: String,
    token: String,
    body: Vec<u8>,
}

fn serve(api: &ApiServer, client: TcpStream, tls: Arc<ServerConfig>, rule: &Rule, seen: &Seen) {
    client.set_nonblocking(false).unwrap();
    client.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), client));
    while let Some(request) = read(&mut stream) {
        let path = request.path.split('?').next().unwrap_or_default();
        let line = format!("{} {path}", request.method);
        let before = {
            let mut seen = seen.lock().unwrap();
            seen.push((line.clone(), Instant::now()));
            seen.len() - 1
        };
        let (status, headers, body) = match rule(&line, before) {
            Fate::Pass => real(api, &request),
            Fate::Late(delay) => {
                thread::sleep(delay);
                real(api, &request)
            }
            Fate::Answer(status, headers, body) => (status, headers, body.into_bytes()),
            Fate::Cut => {
                let _ =
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"kind\": ");
                return;
            }
        };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        let out = stream.get_mut();
        if out.write_all(&[head.into_bytes(), body].concat()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn real(api: &ApiServer, request: &Request) -> (u16, &'static str, Vec<u8>) {
    let client = api.client_with_token(&request.token).unwrap();
    let answer = client.call(&request.method, &request.path, &request.kind, &request.body).unwrap();
    (answer.status, "Content-Type: application/json\r\n", answer.body)
}

/// One request; None at the end of the connection.
fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.trim_end().to_string())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_string);
    let (method, path) = (words.next()?, words.next()?);
    let mut request = Request { method, path, kind: String::new(), token: String::new(), body: Vec::new() };
    let mut length = 0;
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => request.kind = value.into(),
            "authorization" => request.token = value.trim_start_matches("Bearer ").into(),
            _ => {}
        }
    }
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}
