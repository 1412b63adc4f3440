//! From a place in the text of a YAML scalar to the place in the file: JSON counts its own lines, people look at the file's.
//!
//! The parser does not tell where its scalars stand, so this reads the three forms in which configurations are written
//! (a literal block, single and double quotes) and is believed only where it comes to the very text that the parser did.

/// The text of a scalar, and for each of its characters the line and column where it stands; both from 1.
#[derive(Debug, Default)]
pub(super) struct Scalar {
    text: String,
    places: Vec<(usize, usize)>,
}

impl Scalar {
    fn push(&mut self, c: char, place: (usize, usize)) {
        self.text.push(c);
        self.places.push(place);
    }

    /// Where the character of that line and column of the scalar's text stands.
    pub(super) fn place(&self, line: usize, column: usize) -> Option<(usize, usize)> {
        let before: usize =
            self.text.split_inclusive('\n').take(line.checked_sub(1)?).map(|l| l.chars().count()).sum();
        // The end of the text is a place too.
        let last = self.places.last().map(|(line, column)| (*line, column + 1));
        self.places.get(before + column.checked_sub(1)?).copied().or(last)
    }

    pub(super) fn is(&self, text: &str) -> bool {
        let trimmed = |s: &str| s.trim_end_matches('\n').len();
        self.text.get(..trimmed(&self.text)) == text.get(..trimmed(text))
    }
}

/// Reads characters and counts where it is.
struct Cursor<'a> {
    rest: std::str::Chars<'a>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) -> usize {
        let mut n = 0;
        while self.peek().is_some_and(&skipped) {
            self.next();
            n += 1;
        }
        n
    }
}

/// The scalar behind a key's colon, which ends at that line and column of `text`.
pub(super) fn read(text: &str, line: usize, column: usize) -> Option<Scalar> {
    let mut cursor = Cursor { rest: text.chars(), line, column };
    cursor.skip(char::is_whitespace);
    match cursor.peek()? {
        '|' => literal(cursor),
        '\'' => quoted(cursor, '\''),
        '"' => quoted(cursor, '"'),
        _ => None,
    }
}

/// A literal block: its lines without the indentation of the first.
fn literal(mut cursor: Cursor<'_>) -> Option<Scalar> {
    cursor.skip(|c| c != '\n');
    cursor.next()?;
    let mut scalar = Scalar::default();
    let mut indentation = None;
    loop {
        let spaces = cursor.skip(|c| c == ' ');
        let Some(c) = cursor.peek() else { break };
        match indentation {
            _ if c == '\n' || c == '\r' => {}
            None => indentation = Some(spaces),
            Some(indentation) if spaces < indentation => break,
            Some(_) => {}
        }
        // Spaces beyond the indentation belong to the text.
        let first = indentation.unwrap_or(spaces);
        for n in first..spaces {
            scalar.push(' ', (cursor.line, n + 1));
        }
        while let Some(c) = cursor.peek() {
            let place = cursor.place();
            cursor.next();
            if c != '\r' {
                scalar.push(c, place);
            }
            if c == '\n' {
                break;
            }
        }
    }
    Some(scalar)
}

/// A text in quotes. Line breaks in it are folded: one is a space, of several all but one stay.
fn quoted(mut cursor: Cursor<'_>, quote: char) -> Option<Scalar> {
    cursor.next()?;
    let mut scalar = Scalar::default();
    loop {
        let place = cursor.place();
        let c = cursor.next()?;
        match c {
            _ if c == quote && quote == '\'' && cursor.peek() == Some('\'') => {
                cursor.next();
                scalar.push('\'', place);
            }
            _ if c == quote => return Some(scalar),
            '\\' if quote == '"' => escape(&mut cursor, &mut scalar, place)?,
            '\n' => fold(&mut cursor, &mut scalar, place),
            '\r' => {}
            c => scalar.push(c, place),
        }
    }
}

fn fold(cursor: &mut Cursor<'_>, scalar: &mut Scalar, place: (usize, usize)) {
    while scalar.text.ends_with([' ', '\t']) {
        scalar.text.pop();
        scalar.places.pop();
    }
    let mut breaks = 0;
    while cursor.peek().is_some_and(char::is_whitespace) {
        if cursor.next() == Some('\n') {
            breaks += 1;
            scalar.push('\n', place);
        }
    }
    if breaks == 0 {
        scalar.push(' ', place);
    }
}

fn escape(cursor: &mut Cursor<'_>, scalar: &mut Scalar, place: (usize, usize)) -> Option<()> {
    let code = |cursor: &mut Cursor<'_>, digits: usize| {
        let raw: String = (0..digits).map_while(|_| cursor.next()).collect();
        u32::from_str_radix(&raw, 16).ok().and_then(char::from_u32)
    };
    let c = match cursor.next()? {
        c @ ('"' | '\\' | '/' | ' ') => c,
        'n' => '\n',
        't' | '\t' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'x' => code(cursor, 2)?,
        'u' => code(cursor, 4)?,
        'U' => code(cursor, 8)?,
        '\n' => {
            cursor.skip(|c| c == ' ' || c == '\t');
            return Some(());
        }
        _ => return None,
    };
    scalar.push(c, place);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the form, the character is found where the parser's text has it.
    #[track_caller]
    fn check(yaml: &str, place_in_text: (usize, usize), place_in_file: (usize, usize)) {
        let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
        let text = value.get("config").and_then(serde_yaml::Value::as_str).unwrap().to_owned();
        let scalar = read(yaml.strip_prefix("config:").unwrap(), 1, 8).unwrap();
        assert!(scalar.is(&text), "{:?}\n{text:?}", scalar.text);
        assert_eq!(scalar.place(place_in_text.0, place_in_text.1), Some(place_in_file));
    }

    #[test]
    fn a_place_in_the_text_is_found_in_the_file() {
        check("config: |\n  {\n    \"a\": 1\n  }\nother: 1\n", (2, 3), (3, 5));
        check("config: |-  # said\n\n    {\n\n      \"ä\": 1}\n\n", (4, 8), (5, 12));
        check("config: |\r\n  {\r\n    \"a\": 1\r\n  }\r\n", (2, 3), (3, 5));
        check("config: '{\"a\": ''b''}'", (1, 7), (1, 16));
        check("config: '{\n    \"a\": 1,  \n\n    \"b\": 2\n  }'", (1, 3), (2, 5));
        check("config: '{\n    \"a\": 1,  \n\n    \"b\": 2\n  }'", (2, 1), (4, 5));
        check("config: \"{\\\"a\\\": 1,\\n \\\"b\\\": 2}\"", (2, 2), (1, 23));
        check("config: \"{\\\n   \\\"a\\\": \\u00e4}\"", (1, 2), (2, 4));
        check("config:\n  '{\"a\": 1}'", (1, 2), (2, 5));
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        check("config: '{'", (1, 2), (1, 11));
        assert!(read(" plain", 1, 1).is_none());
        assert!(read(" 'open", 1, 1).is_none());
        assert!(read(" \"\\q\"", 1, 1).is_none());
    }
}
