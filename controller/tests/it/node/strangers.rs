//! Who does no more than open connections to the status page, which anybody in the node's network can reach.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::bed::{Node, server};
use crate::shared::{half_open, is_alive};

// Proves: F-CTL-10
#[test]
fn half_open_connections_do_not_keep_the_kubelet_from_its_answer() {
    let api = server();
    let node = Node::new(&api, "node-strangers", json!({}));
    node.start();
    node.wait("the first answer", || node.page("/healthz").is_some());
    let strangers = half_open(node.port());
    assert!(is_alive(node.port()), "{}", node.said());
    // None of them stays for ever.
    for mut stranger in strangers {
        node.wait("the end of a stranger", || match stranger.read(&mut [0; 512]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        });
    }
}

#[test]
fn a_connection_carries_one_answer() {
    let api = server();
    let node = Node::new(&api, "node-one-answer", json!({}));
    node.start();
    node.wait("the first answer", || node.page("/healthz").is_some());
    let mut stream = TcpStream::connect(("127.0.0.1", node.port())).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}
