//! What a Service does: one port before all replicas, and each connection goes to one that is there.

use std::io::{self};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::{netns, ports};

/// Forwards until it is dropped.
#[derive(Debug)]
pub(super) struct Service {
    port: u16,
    netns: Option<PathBuf>,
    over: Arc<AtomicBool>,
}

impl Service {
    pub(super) fn before(replicas: Vec<u16>, netns: Option<&Path>) -> anyhow::Result<Self> {
        let [port] = ports::free(netns)?;
        let bind = move || TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = inside(netns, bind)?.with_context(|| format!("port {port} is taken"))?;
        let over = Arc::new(AtomicBool::new(false));
        let service = Self { port, netns: netns.map(Path::to_path_buf), over: Arc::clone(&over) };
        let netns = service.netns.clone();
        thread::spawn(move || serve(&listener, &replicas, netns.as_deref(), &over));
        Ok(service)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // One last connection, so that the thread looks.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let _ = inside(self.netns.as_deref(), move || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1))
        });
    }
}

fn serve(listener: &TcpListener, replicas: &[u16], netns: Option<&Path>, over: &AtomicBool) {
    for (turn, client) in listener.incoming().enumerate() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let (before, after) = replicas.split_at(turn % replicas.len().max(1));
        let order: Vec<u16> = after.iter().chain(before).copied().collect();
        let found = inside(netns, || {
            order.iter().find_map(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).ok())
        });
        // With none there the connection is closed, as a refused one would be.
        if let Ok(Some(replica)) = found {
            let _ = join(client, replica);
        }
    }
}

fn join(client: TcpStream, replica: TcpStream) -> io::Result<()> {
    replica.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_replica, to_replica) = (replica.try_clone()?, replica);
    thread::spawn(move || copy(from_client, to_replica));
    thread::spawn(move || copy(from_replica, to_client));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    // Both ways: a replica that was killed must not leave its callers waiting.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

pub(super) fn inside<T: Send>(netns: Option<&Path>, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    match netns {
        None => Ok(act()),
        Some(netns) => netns::inside(netns, act),
    }
}
