use manifold_net::{NewLink, shape::TokenBucket};

use crate::bed::{cable, empty};

#[test]
fn a_token_bucket_comes_back_as_it_was_set_can_be_set_again_and_cleared() {
    let net = empty();
    let (link, other) = cable(&net);
    assert_eq!(net.token_bucket(link.index).unwrap(), None);
    for rate in [125_000, 5_000_000_000] {
        let bucket = TokenBucket { rate, limit: 64_000, buffer: 1_000_000 };
        net.set_token_bucket(link.index, &bucket).unwrap();
        assert_eq!(net.token_bucket(link.index).unwrap(), Some(bucket));
    }
    assert_eq!(net.token_bucket(other.index).unwrap(), None);
    net.clear_token_bucket(link.index).unwrap();
    assert_eq!(net.token_bucket(link.index).unwrap(), None);
    assert!(net.clear_token_bucket(link.index).unwrap_err().is_not_found());
}

#[test]
fn what_a_link_receives_is_redirected_until_that_is_cleared() {
    let net = empty();
    let (link, _) = cable(&net);
    let ifb = net.add_ifb(&NewLink { name: "ifb7", up: true, ..NewLink::default() }).unwrap();
    assert_eq!(net.received_redirected_to(link.index).unwrap(), None);
    net.redirect_received(link.index, ifb.index).unwrap();
    assert_eq!(net.received_redirected_to(link.index).unwrap(), Some(ifb.index));
    net.clear_redirection(link.index).unwrap();
    assert_eq!(net.received_redirected_to(link.index).unwrap(), None);
    assert!(net.clear_redirection(link.index).is_err());
}
