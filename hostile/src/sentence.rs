//! What holds of everything that a person is told: one line, bounded, nothing in it that forges or hides.

use crate::Answer;

/// A runtime shows the sentence in an event, which Kubernetes cuts at 1 KiB; a log line has room for a little more.
const MOST_BYTES: usize = 3_000;

/// Panics where the answer could not be shown to a person as it is.
pub(crate) fn assert_readable(answer: &Answer) {
    let Answer::Refused { sentence, .. } = answer else { return };
    assert!(!sentence.trim().is_empty(), "refused without a word");
    assert!(sentence.len() <= MOST_BYTES, "the sentence has {} bytes: {sentence}", sentence.len());
    let hostile = sentence.chars().find(|c| c.is_control() || hides(*c));
    assert!(hostile.is_none(), "the sentence has {hostile:?} in it: {sentence:?}");
}

/// Characters that turn the direction of what follows, or that nobody sees.
fn hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}
