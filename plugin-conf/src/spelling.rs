//! Which known word a misspelt one was probably meant to be.

/// The nearest of `known`, when it is near enough to be worth saying.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length, and nobody misspells by a thousand letters.
    if word.len() > 64 {
        return None;
    }
    let wanted = word.to_ascii_lowercase();
    let most = (wanted.chars().count() / 3).clamp(1, 3);
    let scored = known.into_iter().map(|k| (distance(&wanted, &k.to_ascii_lowercase()), k));
    scored.filter(|(d, _)| *d <= most).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// Insertions, deletions, replacements and exchanges of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, ca) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |r: &[usize], n: usize| r.get(n).copied().unwrap_or(usize::MAX - 1);
            let mut cost =
                (at(&last, j + 1) + 1).min(at(&row, j) + 1).min(at(&last, j) + usize::from(ca != *cb));
            let swapped = j > 0 && previous == Some(*cb) && b.get(j - 1) == Some(&ca);
            if swapped {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
        previous = Some(ca);
    }
    last.last().copied().unwrap_or_default()
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
