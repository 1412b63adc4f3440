//! The webhook under load and under attack: it answers those who ask well, and takes nothing down.

use std::time::{Duration, Instant};

use manifold_controller::admission::{Ending, Subject};
use serde_json::json;

use super::bed::until;
use super::target::{Target, review};
use super::wire::Wire;

/// Two hundred a second for five seconds, over eight connections, every second one to be refused.
// Proves: S-19, P-PERF-4
#[test]
fn two_hundred_reviews_a_second_are_answered_and_no_pod_is_listed() {
    let target = Target::start();
    let before = target.api.request_counts().unwrap();
    let began = Instant::now();
    let mut times: Vec<Option<Duration>> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..8)
            .map(|lane| {
                let target = &target;
                scope.spawn(move || lane_of_reviews(target, lane, began))
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    let took = began.elapsed();
    // Who was left without an answer comes last. A machine that stands still for a moment may leave one in a hundred.
    times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
    println!("{} reviews in {took:?}, p50 {:?}, p99 {:?}", times.len(), times[500], times[989]);
    assert!(times[989].is_some_and(|time| time < Duration::from_secs(2)), "{:?}", &times[980..]);
    let spent = target.api.request_counts().unwrap().since(&before);
    assert_eq!(
        (spent.of("LIST", "pods"), spent.of("WATCH", "pods"), spent.of("GET", "pods")),
        (0, 0, 0),
        "{spent:?}"
    );
    assert_eq!(spent.of("LIST", "network-attachment-definitions"), 0, "{spent:?}");
    // What the watch knows is enough where nothing is wrong with a network.
    assert_eq!(spent.of("GET", "network-attachment-definitions"), 0, "{spent:?}");
    let metrics = &target.replica.metrics;
    let refused = metrics.reviews(Subject::Pod, Ending::Refused);
    assert!((490..=500).contains(&refused), "{refused}");
}

/// How long each took; none for those that were left to the API server.
fn lane_of_reviews(target: &Target, lane: u32, began: Instant) -> Vec<Option<Duration>> {
    let mut wire = target.wire();
    let bodies = ["plain", "plain@eth0"].map(|networks| review(networks).to_string().into_bytes());
    // A connection on which nothing is said for long is ended: a lane that stood still begins another.
    let mut post = move |body: &[u8]| {
        wire.post("/pods", body).unwrap_or_else(|_| {
            wire = target.wire();
            (503, String::new())
        })
    };
    let mut one = |turn: u32| {
        let due = began + Duration::from_millis(40) * turn + Duration::from_millis(5) * lane;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let allowed = (turn + lane).is_multiple_of(2);
        let sent = Instant::now();
        let (status, body) = post(&bodies[usize::from(!allowed)]);
        let verdict = format!(r#""allowed":{allowed}"#);
        assert!(status == 503 || (status == 200 && body.contains(&verdict)), "{status} {body}");
        (status == 200).then(|| sent.elapsed())
    };
    (0..125).map(&mut one).collect()
}

// Proves: S-19
#[test]
fn what_is_no_review_is_refused_and_forgotten() {
    let target = Target::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = review("plain").to_string().replace(r#""plain""#, &deep);
    let garbage: [&[u8]; 7] =
        [b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b"{\"kind\":\"AdmissionReview\"}", deep.as_bytes()];
    for body in garbage {
        for path in ["/pods", "/definitions"] {
            let (status, answer) = target.answer(path, body);
            assert!(
                status == 400,
                "{status} {answer} for {:?}",
                String::from_utf8_lossy(body).chars().take(40).collect::<String>()
            );
        }
    }
    // A pod that no API server would send: its annotations are refused, not followed down.
    let (status, answer) = target.answer("/pods", nested.as_bytes());
    assert!(status == 200 && answer.contains("cannot be read"), "{status} {answer}");
    assert_eq!(target.answer("/elsewhere", b"{}").0, 404);
    let mut get = target.wire();
    get.send(b"GET /pods HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(get.answer().unwrap().0, 405);
    target.is_well();
    assert_eq!(target.replica.metrics.reviews(Subject::Pod, Ending::Unreadable), 7);
}

// Proves: S-19
#[test]
fn a_body_beyond_the_limit_is_not_read() {
    let target = Target::start();
    let mut announced = target.wire();
    announced.send(b"POST /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 3145729\r\n\r\n").unwrap();
    assert_eq!(announced.answer().unwrap().0, 413);
    // On a machine that is too busy to take three megabytes in time, it is sent away for that (503), or the answer is lost
    // with the connection.
    until("one without an end is refused", || match endless(&target) {
        Ok(status @ (413 | 503)) => status == 413,
        Ok(status) => panic!("{status}"),
        Err(_) => false,
    });
    // The largest that is allowed is read.
    let mut large = review("plain");
    large["request"]["object"]["metadata"]["annotations"]["padding"] =
        json!("x".repeat(3 * 1024 * 1024 - 2_000));
    let (status, body) = target.wire().post("/pods", large.to_string().as_bytes()).unwrap();
    assert!(status == 200 || status == 503, "{status} {body}");
    target.is_well();
}

/// A body that does not say how long it is, and does not end; the status of the answer.
fn endless(target: &Target) -> std::io::Result<u16> {
    let mut wire = target.wire();
    wire.send(b"POST /pods HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..64 {
        if wire.send(&piece).is_err() {
            break;
        }
    }
    wire.answer().map(|(status, _)| status)
}

// Proves: S-19
#[test]
fn who_sends_slowly_or_nothing_is_left_and_others_are_served() {
    let target = Target::start();
    let unanswered = || target.replica.metrics.reviews(Subject::Pod, Ending::Unanswered);
    let before = unanswered();
    let slowly = |_| {
        let mut wire = target.wire();
        wire.send(b"POST /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n{").unwrap();
        wire
    };
    let mut slow: Vec<Wire> = (0..8).map(slowly).collect();
    // Nobody waits for those who never finish.
    let mut late = 0;
    until("others are served", || {
        let (status, _) = target.wire().post("/pods", review("plain").to_string().as_bytes()).unwrap();
        late += u64::from(status == 503);
        status == 200
    });
    for wire in &mut slow {
        let began = Instant::now();
        assert_eq!(wire.answer().unwrap().0, 503);
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(unanswered() - before, 8 + late);
    // More idle connections than there are places: they are sent away, and the next one is served.
    let idle: Vec<std::net::TcpStream> = (0..300)
        .filter_map(|_| std::net::TcpStream::connect(("127.0.0.1", target.replica.port)).ok())
        .collect();
    until("others are served", || {
        Wire::connect(target.replica.port, &target.bundle)
            .and_then(|mut wire| wire.post("/pods", &review("plain").to_string().into_bytes()))
            .is_ok_and(|(status, _)| status == 200)
    });
    drop(idle);
}

// Proves: F-CTL-11
#[test]
fn idle_connections_after_the_handshake_keep_nobody_out() {
    let target = Target::start();
    // More than there are places. Without a word they could stay for minutes, and the API server waits two seconds.
    let idle: Vec<Wire> =
        (0..300).filter_map(|_| Wire::connect(target.replica.port, &target.bundle).ok()).collect();
    assert!(idle.len() > 256, "only {} shook hands", idle.len());
    until("the next one is served", || {
        Wire::connect(target.replica.port, &target.bundle)
            .and_then(|mut wire| wire.post("/pods", &review("plain").to_string().into_bytes()))
            .is_ok_and(|(status, _)| status == 200)
    });
    // Who never asks is sent away.
    for mut wire in idle {
        wire.answer().unwrap_err();
    }
}

// Proves: F-CTL-11
#[test]
fn who_announces_much_and_sends_nothing_takes_no_room() {
    let target = Target::start();
    let unanswered = || target.replica.metrics.reviews(Subject::Pod, Ending::Unanswered);
    let announces = |_| {
        let mut wire = target.wire();
        wire.send(b"POST /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n{").unwrap();
        wire
    };
    // On a busy machine they may have been sent away before the question comes.
    until("a review is answered beside more than there is room for", || {
        let (mut wire, before) = (target.wire(), unanswered());
        let _slow: Vec<Wire> = (0..24).map(announces).collect();
        let answer = wire.post("/pods", review("plain").to_string().as_bytes());
        answer.is_ok_and(|(status, _)| status == 200) && unanswered() == before
    });
}

/// What is being answered when the process ends is answered.
#[test]
fn a_replica_that_is_told_to_stop_ends_within_seconds() {
    let mut target = Target::start();
    let _idle = target.wire();
    let ended = target.replica.ended.take().unwrap();
    target.replica.stop.send(true).unwrap();
    let began = Instant::now();
    super::bed::runtime().block_on(ended).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(Wire::connect(target.replica.port, &target.bundle).is_err());
}
