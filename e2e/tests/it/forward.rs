use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_client::ApiClient;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::forward::{Forward, Mode};
use manifold_e2e::netns::HostNs;

/// A server on the machine's loopback that says back what it hears.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
        }
    });
    port
}

fn ask(host: &HostNs, port: u16) -> std::io::Result<Vec<u8>> {
    ask_for(host, port, Duration::from_secs(60))
}

fn ask_for(host: &HostNs, port: u16, patience: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = host.netns().run(|| TcpStream::connect(("127.0.0.1", port))).unwrap()?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"hello")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_test_host_reaches_the_machines_loopback_through_it_and_not_without() {
    let (host, port) = (HostNs::new().unwrap(), echo());
    assert!(ask(&host, port).is_err());
    let forward = Forward::new(&host, port).unwrap();
    assert_eq!(ask(&host, port).unwrap(), b"hello");
    assert_eq!(forward.connections(), 1);
    drop(forward);
    assert!(!ask(&host, port).is_ok_and(|answer| answer == b"hello"));
}

#[test]
fn each_way_of_breaking_it_breaks_it() {
    let (host, port) = (HostNs::new().unwrap(), echo());
    let forward = Forward::new(&host, port).unwrap();
    forward.set(Mode::Close);
    assert!(ask(&host, port).map_or(true, |answer| answer.is_empty()));
    forward.set(Mode::Answer(b"HTTP/1.1 200 OK".to_vec()));
    assert_eq!(ask(&host, port).unwrap(), b"HTTP/1.1 200 OK");
    forward.set(Mode::Silence);
    let start = Instant::now();
    let patience = Duration::from_millis(700);
    assert!(ask_for(&host, port, patience).is_err() && start.elapsed() >= Duration::from_millis(600));
    forward.set(Mode::Delay(Duration::from_millis(200)));
    let start = Instant::now();
    assert_eq!(ask(&host, port).unwrap(), b"hello");
    assert!(start.elapsed() >= Duration::from_millis(200));
    forward.set(Mode::Pass);
    assert_eq!(ask(&host, port).unwrap(), b"hello");
    assert_eq!(forward.connections(), 5);
}

#[test]
fn the_shared_api_server_is_reached_from_a_test_host_at_its_own_address() {
    let (host, api) = (HostNs::new().unwrap(), ApiServer::shared().unwrap());
    let namespace = api.namespace("forward").unwrap();
    let access = api.shim_access(namespace.name()).unwrap();
    let token = std::fs::read_to_string(access.token_file).unwrap();
    let inside = Some(host.path().to_path_buf());
    let client = ApiClient::with_token(api.port(), inside, api.authority(), &token).unwrap();
    assert!(client.get("/version").is_err());
    let forward = Forward::new(&host, api.port()).unwrap();
    assert_eq!(client.get("/version").unwrap().status, 200);
    assert_eq!(forward.connections(), 1);
    forward.set(Mode::Close);
    assert!(client.get("/version").is_err());
}
