//! Which known word a misspelt one was probably meant to be.

/// The nearest of `known`, when it is near enough to be worth saying.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length, and nobody misspells by a thousand letters.
    if word.len() > 64 {
        return None;
    }
    let wanted = word.to_ascii_lowercase();
    let most = (wanted.chars().count() / 3).clamp(1, 3);
    let scored = known.into_iter().map(|k| (strsim::osa_distance(&wanted, &k.to_ascii_lowercase()), k));
    scored.filter(|(d, _)| *d <= most).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_word_and_strangers_find_none() {
        let known = ["vlan", "vlanTrunk", "rangeStart", "isGateway", "mtu"];
        for (word, meant) in [
            ("vlna", Some("vlan")),
            ("Vlan", Some("vlan")),
            ("vlan_trunk", Some("vlanTrunk")),
            ("range_start", Some("rangeStart")),
            ("isGatway", Some("isGateway")),
            ("mut", Some("mtu")),
            ("etcd_endpoints", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(nearest(&"v".repeat(100_000), known), None);
    }
}
