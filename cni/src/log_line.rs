//! One event of a log is one line, whatever the text of others in it holds.
//!
//! A plugin's message, an annotation or a server's answer may have line ends and terminal sequences in it: with a line end
//! they would begin a line of their own, time and level included.

use std::io::{self, Write};

/// Escapes control characters of whatever is written, but the line end that closes a write. Who writes each event by
/// one `write` gets each event in one line.
#[derive(Debug)]
pub struct OneLine<W>(pub W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What another program wrote to its standard error, for ours: the lines that it had, and nothing in them that would begin
/// another one or move the cursor.
pub fn each_line(bytes: &[u8]) -> Vec<u8> {
    bytes.split_inclusive(|byte| *byte == b'\n').flat_map(one_line).collect()
}

/// The same text with control characters spelt out, and one line end where the text had one at its end.
fn one_line(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let (text, end) = text.strip_suffix('\n').map_or((text.as_ref(), ""), |text| (text, "\n"));
    let mut line = String::with_capacity(bytes.len() + 1);
    for c in text.chars() {
        // These end a line for some readers, or turn the direction of what follows.
        let hides = matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\r' | '\t' => line.extend(c.escape_default()),
            c if c.is_control() || hides => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line.push_str(end);
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        OneLine(&mut out).write_all(text.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_in_a_text_begins_a_line_or_moves_the_cursor() {
        assert_eq!(written("plain é\n"), "plain é\n");
        assert_eq!(written("bad key\n2026 INFO\r\nx\n"), "bad key\\n2026 INFO\\r\\nx\n");
        assert_eq!(
            written("\u{1b}[2Jx\u{85}\u{2028}\u{202e}y\0"),
            "\\u{1b}[2Jx\\u{85}\\u{2028}\\u{202e}y\\u{0}"
        );
        assert_eq!(written("\n"), "\n");
        assert_eq!(written(""), "");
    }

    #[test]
    fn the_lines_of_another_program_stay_lines_and_bring_no_control_characters() {
        let said = b"first\nsecond\x1b[2J\r2026 INFO forged\x00\n\nlast \xff";
        let told = String::from_utf8(each_line(said)).unwrap();
        assert_eq!(told, "first\nsecond\\u{1b}[2J\\r2026 INFO forged\\u{0}\n\nlast \u{fffd}");
        assert_eq!(each_line(b""), b"");
    }

    proptest::proptest! {
        #[test]
        fn one_write_is_one_line(text in "\\PC{0,20}[\\x00-\\x1f\\x7f]{0,5}\\PC{0,20}") {
            let line = written(&format!("{text}\n"));
            proptest::prop_assert_eq!(line.matches('\n').count(), 1);
            proptest::prop_assert!(line.ends_with('\n'));
        }
    }
}
