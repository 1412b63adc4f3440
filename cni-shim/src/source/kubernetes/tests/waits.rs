//! What a server says of the time to wait: bounded from both sides.

use super::faults::fails;
use super::*;

fn refusing(code: u16, retry_after: &str) -> Server {
    let retry_after = retry_after.to_owned();
    Server::start(Wire::Http2, move |_, _| {
        Reply::With(code, vec![("retry-after", retry_after.clone())], String::new())
    })
}

// Shows part of: F-API-4
#[test]
fn a_wait_that_no_clock_can_hold_is_not_begun() {
    let server = refusing(429, &u64::MAX.to_string());
    fails(&server, 5000, Kind::Throttled);
    assert_eq!(server.seen().len(), 1);
}

// Shows part of: F-API-4
#[test]
fn a_server_that_says_at_once_is_not_asked_without_a_pause() {
    let server = refusing(503, "0");
    fails(&server, 2000, Kind::Throttled);
    let seen = server.seen();
    assert!((3..=7).contains(&seen.len()), "{} requests in 2 s", seen.len());
}
