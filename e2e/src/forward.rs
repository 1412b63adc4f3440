//! A way from a test's host to a server on the machine's loopback, that can be broken on purpose.
//!
//! The address is the same on both sides (`127.0.0.1`, same port), so one kubeconfig serves inside and outside. It
//! moves bytes and knows no TLS: what it can break is the connection, and it counts how many there were.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;

use crate::netns::HostNs;

/// What happens to a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It reaches the server.
    #[default]
    Pass,
    /// Each answer's first bytes, and all that follow, come this much later.
    Delay(Duration),
    /// It is closed at once.
    Close,
    /// It is taken, and nothing is ever said.
    Silence,
    /// It is answered with these bytes, and closed.
    Answer(Vec<u8>),
}

/// Forwards until it is dropped.
#[derive(Debug)]
pub struct Forward {
    port: u16,
    host: std::path::PathBuf,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    mode: Mutex<Mode>,
    connections: AtomicU64,
    over: AtomicBool,
}

impl Forward {
    pub fn new(host: &HostNs, port: u16) -> anyhow::Result<Self> {
        let listener = host
            .netns()
            .run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?
            .with_context(|| format!("port {port} is taken on the test's host"))?;
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let thread = Some(thread::spawn(move || serve(&listener, port, &shared)));
        Ok(Self { port, host: host.path().to_path_buf(), state, thread })
    }

    /// For connections from now on.
    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// How many were opened so far, whatever became of them.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // One last connection, so that the thread looks.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let told =
            crate::netns::inside(&self.host, || TcpStream::connect_timeout(&address, Duration::from_secs(1)));
        // Afterwards the port is free. A thread that could not be told would never end.
        if matches!(told, Ok(Ok(_))) {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

fn serve(listener: &TcpListener, port: u16, state: &State) {
    let mut silent = Vec::new();
    for client in listener.incoming() {
        if state.over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        state.connections.fetch_add(1, Ordering::SeqCst);
        match state.mode.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Mode::Pass => pass(client, port, Duration::ZERO),
            Mode::Delay(delay) => pass(client, port, delay),
            Mode::Close => drop(client),
            Mode::Silence => silent.push(client),
            Mode::Answer(bytes) => drop(thread::spawn(move || answer(client, &bytes))),
        }
    }
}

/// Closed without reading, the connection would be reset, and the reader might lose the answer.
fn answer(mut client: TcpStream, bytes: &[u8]) {
    let _ = client.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = client.read(&mut [0; 4096]);
    let _ = client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write));
    let _ = io::copy(&mut client, &mut io::sink());
}

fn pass(client: TcpStream, port: u16, delay: Duration) {
    thread::spawn(move || {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        let _ = server.set_nodelay(true).and_then(|()| client.set_nodelay(true));
        let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else { return };
        let (Ok(from_server), Ok(to_server)) = (server.try_clone(), server.try_clone()) else { return };
        thread::spawn(move || copy(from_client, to_server, Duration::ZERO));
        copy(from_server, to_client, delay);
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        thread::sleep(delay);
        if to.write_all(chunk.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
