//! What the wire and the server may do, and that it ends in time with code 11 or in success.

use std::net::{Ipv4Addr, TcpListener};

use super::server::Identity;
use super::*;

#[track_caller]
pub(super) fn fails(server: &Server, millis: u64, kind: Kind) -> SourceError {
    let begin = Instant::now();
    let error = Node::of(server).source().pod(&who(), soon(millis)).unwrap_err();
    assert_eq!((error.kind, error.code()), (kind, 11), "{error}");
    // A call that knew no deadline would take ten seconds.
    assert!(begin.elapsed() < Duration::from_millis(millis + 4000), "{:?}", begin.elapsed());
    error
}

#[track_caller]
fn fails_on_the_wire(wire: Wire) {
    let server = Server::start(wire, pods);
    fails(&server, 2000, Kind::Unreachable);
    if wire != Wire::BlackHole {
        assert!(server.connections() > 1, "it was tried again");
    }
}

// Proves: F-API-2, MLT-POD-1
#[test]
fn a_wire_that_gives_no_answer_is_tried_again_until_the_deadline() {
    std::thread::scope(|scope| {
        for wire in [Wire::HangUp, Wire::Garbage, Wire::GarbageInTls, Wire::BlackHole] {
            scope.spawn(move || fails_on_the_wire(wire));
        }
    });
}

// Proves: F-API-2
#[test]
fn a_server_that_is_back_within_the_budget_is_a_success() {
    // Bound, but nobody listens: connections are refused, and the port is nobody else's.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap();
    let identity = Identity::good();
    let node = Node::with(&identity.authority, &format!("https://{port}"));
    let begin = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(4));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        Server::start_on(socket.listen(64).unwrap().into_std().unwrap(), Wire::Http2, identity, pods);
    });
    assert_eq!(node.source().pod(&who(), soon(60_000)).unwrap().uid, "aaa");
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
}

// Proves: F-API-2
#[test]
fn no_call_lasts_longer_than_five_seconds_and_all_of_them_ten() {
    let server = Server::start(Wire::BlackHole, pods);
    let begin = Instant::now();
    Node::of(&server).source().pod(&who(), soon(60_000)).unwrap_err();
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(14), "{took:?}");
    assert_eq!(server.connections(), 2);
}

// Proves: F-API-2
#[test]
fn answers_that_are_cut_or_not_json_are_tried_again() {
    for bad in ["", "<html>", "{\"metadata\":{", "null", "[]", "{\"metadata\":{\"name\":1}}"] {
        let server = Server::start(Wire::Http2, move |_, before| match before {
            0 => Reply::Cut("{\"metadata\":{\"name\""),
            1 => Reply::Json(200, bad.to_owned()),
            _ => Reply::Json(200, pod_json()),
        });
        assert_eq!(Node::of(&server).source().pod(&who(), soon(15_000)).unwrap().uid, "aaa");
        assert_eq!(server.seen().len(), 3);
    }
    let server = Server::start(Wire::Http2, |_, _| Reply::Json(200, "<html>".into()));
    fails(&server, 3000, Kind::Malformed);
    let server = Server::start(Wire::Http1, |_, _| Reply::Cut("{\"metadata\""));
    fails(&server, 500, Kind::Unreachable);
}

// Proves: F-API-2
#[test]
fn an_answer_without_end_costs_three_megabytes_or_the_call_and_no_more() {
    let server = Server::start(Wire::Http2, |_, _| Reply::Endless);
    let error = fails(&server, 5000, Kind::TooLarge);
    assert!(error.what.contains("3145728"), "{error}");
    let server = Server::start(Wire::Http2, |_, _| Reply::Trickle);
    fails(&server, 500, Kind::Unreachable);
    let server = Server::start(Wire::Http1, |_, _| Reply::Json(200, " ".repeat((3 << 20) + 1)));
    fails(&server, 5000, Kind::TooLarge);
}

// Proves: F-API-2
#[test]
fn what_the_server_said_is_told_when_the_last_attempt_ran_out_of_time() {
    let server = Server::start(Wire::Http2, |_, before| match before {
        0 => Reply::Json(200, "<html>".into()),
        _ => Reply::Slow(Duration::from_secs(30), pod_json()),
    });
    fails(&server, 2000, Kind::Malformed);
    assert_eq!(server.seen().len(), 2);
}

// Proves: F-API-2
#[test]
fn never_fewer_networks_than_asked() {
    let server = Server::start(Wire::Http2, |seen, _| match seen.target.ends_with("/b") {
        true => Reply::Cut("{"),
        false => Reply::Json(200, nad_json(&seen.target)),
    });
    let error = Node::of(&server).source().definitions(&[nad("a"), nad("b")], soon(3000)).unwrap_err();
    assert_eq!(error.code(), 11);
    assert!(error.what.contains("`shop/b`"), "{error}");
}

// Proves: F-API-3
#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let server = Server::start(Wire::Http2, |_, _| Reply::Slow(Duration::from_secs(30), pod_json()));
    fails(&server, 800, Kind::Unreachable);
}

// Proves: F-API-4
#[test]
fn retry_after_is_obeyed_within_the_budget() {
    for code in [429, 503] {
        let server = Server::start(Wire::Http2, move |_, before| match before {
            0 => Reply::With(code, vec![("retry-after", "1".into())], String::new()),
            _ => Reply::Json(200, pod_json()),
        });
        Node::of(&server).source().pod(&who(), soon(15_000)).unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        let waited = seen[1].at - seen[0].at;
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
    }
}

// Proves: F-API-4
#[test]
fn a_wait_beyond_the_budget_is_not_begun() {
    for code in [429, 503] {
        let server = Server::start(Wire::Http2, move |_, _| {
            Reply::With(code, vec![("retry-after", "60".into())], String::new())
        });
        let begin = Instant::now();
        fails(&server, 5000, Kind::Throttled);
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        assert_eq!(server.seen().len(), 1);
    }
}

// Proves: F-API-4
#[test]
fn a_busy_server_that_names_no_time_is_asked_again_with_back_off() {
    let server = Server::start(Wire::Http2, |_, _| Reply::Json(429, String::new()));
    fails(&server, 2000, Kind::Throttled);
    let seen = server.seen();
    assert!((3..=7).contains(&seen.len()), "{} requests in 2 s", seen.len());
}

// Proves: F-API-6
#[test]
fn a_missing_right_ends_at_once_and_the_rule_is_told() {
    let said = "pods \"cart-7\" is forbidden: User \"shim\" cannot get resource \"pods\"";
    let server = Server::start(Wire::Http2, move |_, _| {
        Reply::Json(403, status_json(403, said, serde_json::json!({})))
    });
    let error = fails(&server, 5000, Kind::Forbidden);
    assert_eq!(server.seen().len(), 1, "no retry");
    for words in
        ["`get`", "`pods`", "`shop`", said, r#"apiGroups: [""], resources: ["pods"], verbs: ["get"]"#]
    {
        assert!(error.what.contains(words), "{words} in {error}");
    }
    let error = Node::of(&server).source().definitions(&[nad("a")], soon(5000)).unwrap_err();
    let rule =
        r#"apiGroups: ["k8s.cni.cncf.io"], resources: ["network-attachment-definitions"], verbs: ["get"]"#;
    assert!(error.what.contains(rule), "{error}");
}

// Proves: F-API-8
#[test]
fn a_server_that_cannot_be_trusted_is_told_nothing() {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = Identity::good().authority;
    for (identity, authority) in [
        (Identity::good(), Some(other)),
        (Identity::of("127.0.0.1", 2001, 2020), None),
        // To a clock that is behind, a certificate is not valid yet.
        (Identity::of("127.0.0.1", 2090, 2099), None),
        (Identity::of("10.0.0.1", 2001, 2099), None),
    ] {
        let server = Server::start_on(listen(), Wire::Http2, identity, pods);
        let authority = authority.as_ref().unwrap_or(&server.authority);
        let node = Node::with(authority, &format!("https://{}", server.address));
        let begin = Instant::now();
        let error = node.source().pod(&who(), soon(5000)).unwrap_err();
        assert_eq!((error.kind, error.code()), (Kind::Tls, 11), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(4), "it does not get better by waiting");
        assert!(server.seen().is_empty(), "no request, and no token, reached it");
    }
}

#[test]
fn a_deadline_that_has_passed_sends_nothing() {
    let server = Server::start(Wire::Http2, pods);
    assert_eq!(Node::of(&server).source().pod(&who(), Instant::now()).unwrap_err().code(), 11);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_connection_that_was_closed_between_two_calls_is_made_anew() {
    let server = Server::start(Wire::Http1, |_, before| match before {
        0 => Reply::With(200, vec![("connection", "close".into())], pod_json()),
        _ => Reply::Json(200, pod_json()),
    });
    let node = Node::of(&server);
    let mut source = node.source();
    source.pod(&who(), soon(15_000)).unwrap();
    source.pod(&who(), soon(15_000)).unwrap();
    assert_eq!(server.connections(), 2);
}
