use netlink_packet_route::link::LinkMessage;
use proptest::prelude::*;

use super::*;

/// One message as the kernel would send it.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((16 + payload.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn link(sequence: u32, flags: u16) -> Vec<u8> {
    message(16, flags, sequence, &[0; 16])
}

fn done(sequence: u32) -> Vec<u8> {
    message(NLMSG_DONE, 0, sequence, &[0; 4])
}

fn read(datagram: &[u8]) -> Result<Round, Why> {
    let mut round = Round::default();
    round.read(datagram, 7)?;
    Ok(round)
}

#[test]
fn answers_to_another_request_are_passed_over() {
    let round = read(&[link(6, 0), link(7, 0), done(6), link(7, 0), done(7)].concat()).unwrap();
    assert_eq!(round.answers, vec![RouteNetlinkMessage::NewLink(LinkMessage::default()); 2]);
    assert!(round.finished && !round.interrupted);
}

// Proves: PLG-COM-5
#[test]
fn a_listing_that_changed_half_way_is_marked_whichever_message_says_so() {
    assert!(read(&[link(7, NLM_F_DUMP_INTR), done(7)].concat()).unwrap().interrupted);
    assert!(
        read(&[link(7, 0), message(NLMSG_DONE, NLM_F_DUMP_INTR, 7, &[0; 4])].concat()).unwrap().interrupted
    );
    assert!(!read(&[link(8, NLM_F_DUMP_INTR), link(7, 0), done(7)].concat()).unwrap().interrupted);
}

// Proves: PLG-COM-5
#[test]
fn a_listing_that_changed_half_way_is_read_again() {
    let mut left = 5;
    let round = settled(|| {
        left -= 1;
        Ok(Round { interrupted: left > 0, finished: true, ..Round::default() })
    });
    assert!(!round.unwrap().interrupted);
    assert_eq!(left, 0);
}

// Proves: PLG-COM-5
#[test]
fn a_listing_that_never_settles_is_an_error_and_not_a_loop() {
    let mut readings = 0;
    let result = settled(|| {
        readings += 1;
        Ok(Round { interrupted: true, finished: true, ..Round::default() })
    });
    assert!(matches!(result, Err(Why::Interrupted)));
    assert_eq!(readings, DUMP_ATTEMPTS);
}

/// An acknowledgement of error 17 (EEXIST), with the request's header and a text.
fn refusal(flags: u16, repeated: &[u8]) -> Vec<u8> {
    let mut payload = (-17_i32).to_ne_bytes().to_vec();
    payload.extend(repeated);
    payload.extend([9, 0, 1, 0]);
    payload.extend(b"told\0\0\0\0");
    message(NLMSG_ERROR, flags, 7, &payload)
}

#[track_caller]
fn says(datagram: &[u8], expected: Option<&str>) {
    match read(datagram) {
        Err(Why::Refused { errno: Errno::EEXIST, said }) => assert_eq!(said.as_deref(), expected),
        other => panic!("not the refusal: {:?}", other.map(|round| round.answers)),
    }
}

#[test]
fn the_kernels_explanation_is_found_after_a_short_or_a_whole_repetition() {
    let request = message(16, 0, 7, &[0; 16]);
    says(&refusal(NLM_F_CAPPED | NLM_F_ACK_TLVS, &request[..16]), Some("told"));
    says(&refusal(NLM_F_ACK_TLVS, &request), Some("told"));
    says(&refusal(NLM_F_CAPPED, &request[..16]), None);
    says(&message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &(-17_i32).to_ne_bytes()), None);
}

#[test]
fn an_object_that_cannot_be_read_is_remembered() {
    let round = read(&[message(16, 0, 7, &[1, 2, 3, 4, 5]), done(7)].concat()).unwrap();
    assert!(round.answers.is_empty() && round.undecoded.is_some());
}

proptest! {
    #[test]
    fn no_datagram_makes_the_reader_panic(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&datagram);
    }

    #[test]
    fn no_damage_to_a_message_makes_the_reader_panic(
        kind in 0_u16..120,
        flags in any::<u16>(),
        payload in prop::collection::vec(any::<u8>(), 0..160),
    ) {
        let _ = read(&message(kind, flags, 7, &payload));
    }
}
