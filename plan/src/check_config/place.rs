//! Where in the text a JSON pointer leads: line and column as an editor counts them.

use std::collections::HashMap;

use manifold_cni::json::is_key;

use super::slip::{self, Spot};

/// All places of one text that is well-formed JSON.
#[derive(Debug, Default)]
pub(super) struct Spots<'a> {
    text: &'a str,
    by_pointer: HashMap<String, Spot>,
}

impl<'a> Spots<'a> {
    /// Of a text that is not JSON there is nothing to tell.
    pub(super) fn of(text: &'a str) -> Self {
        let spots = slip::scan(text).unwrap_or_default();
        Self { text, by_pointer: spots.into_iter().collect() }
    }

    pub(super) fn knows(&self, pointer: &str) -> bool {
        self.spot(pointer).is_some()
    }

    /// The value; where there is none, what should have held it.
    pub(super) fn of_value(&self, pointer: &str) -> Option<(usize, usize)> {
        self.find(pointer).map(|spot| line_and_column(self.text, spot.value))
    }

    /// The key, where the pointer names one.
    pub(super) fn of_key(&self, pointer: &str) -> Option<(usize, usize)> {
        self.find(pointer).map(|spot| line_and_column(self.text, spot.key.unwrap_or(spot.value)))
    }

    /// The pointer's keys may stand there in another case, as they are read in any. Of several the last counts.
    fn spot(&self, pointer: &str) -> Option<&Spot> {
        let written = || self.by_pointer.iter().filter(|(written, _)| is_key(written, pointer));
        self.by_pointer.get(pointer).or_else(|| written().map(|(_, spot)| spot).max_by_key(|spot| spot.value))
    }

    fn find(&self, pointer: &str) -> Option<&Spot> {
        let mut pointer = pointer;
        loop {
            match self.spot(pointer) {
                Some(spot) => return Some(spot),
                None => pointer = pointer.rsplit_once('/')?.0,
            }
        }
    }
}

/// From 1; a column is a character.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_key_and_its_value() {
        let text = "{\n  \"a/b\": [1, {\"\\u0063\": true}],\n  \"d~\": {\"ä\": 1, \"é\": 2}\n}";
        let spots = Spots::of(text);
        let both = |pointer: &str| (spots.of_key(pointer), spots.of_value(pointer));
        assert_eq!(both(""), (Some((1, 1)), Some((1, 1))));
        assert_eq!(both("/a~1b"), (Some((2, 3)), Some((2, 10))));
        assert_eq!(both("/a~1b/1"), (Some((2, 14)), Some((2, 14))));
        assert_eq!(both("/a~1b/1/c"), (Some((2, 15)), Some((2, 25))));
        assert_eq!(both("/d~0/é"), (Some((3, 18)), Some((3, 23))));
        // What is missing is told by what should have held it.
        assert_eq!(spots.of_value("/d~0/x/y"), Some((3, 9)));
        assert_eq!(spots.of_value("/x"), Some((1, 1)));
        assert_eq!(Spots::of("{").of_value("/x"), None);
        // A key is the same key in any case, and its own spelling comes first.
        assert_eq!(spots.of_key("/A~1B/1/C"), Some((2, 15)));
        assert_eq!(Spots::of("{\"A\":1,\"a\":2,\"AA\":3,\"aA\":4}").of_key("/a"), Some((1, 8)));
        assert_eq!(Spots::of("{\"A\":1,\"a\":2,\"AA\":3,\"aA\":4}").of_key("/aa"), Some((1, 21)));
    }
}
