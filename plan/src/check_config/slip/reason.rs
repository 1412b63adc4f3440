//! What stopped the reader: one sentence and one remedy for each slip that people make.

use manifold_cni::name::printable;

use super::super::place::line_and_column;
use super::{Scanner, Slip};

const SMART: [char; 8] = ['“', '”', '„', '‟', '‘', '’', '«', '»'];
const UNSEEN: [char; 7] = ['\u{a0}', '\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2028}', '\u{202f}'];

pub(super) fn trailing_comma(comma: usize, close: char) -> Slip {
    Slip::new(comma, format!("there is a trailing `,` before `{close}`"), "remove the comma")
}

pub(super) fn twice(text: &str, key: &str, first: usize, second: usize) -> Slip {
    let (line, _) = line_and_column(text, first);
    let sentence = format!("duplicate key `{}`, first used on line {line}", printable(key));
    Slip::new(second, sentence, "keep one of the two")
}

pub(super) fn control(offset: usize, c: char) -> Slip {
    let (name, write) = if c == '\t' { ("a tab".to_owned(), "\\t") } else { (code(c), "nothing") };
    Slip::new(
        offset,
        format!("there is {name} inside a quoted string"),
        format!("write `{write}` in its place"),
    )
}

/// A text without its closing quote.
pub(super) fn open_text(rest: &str, start: usize) -> Slip {
    let line = rest.lines().next().unwrap_or_default();
    if let Some((n, c)) = line.char_indices().find(|(_, c)| SMART.contains(c)) {
        return smart(start + n, c);
    }
    Slip::new(
        start,
        format!("the text {} has no closing `\"` on its line", shown(line)),
        "close it where it should end; a line break inside a string is written `\\n`",
    )
}

fn smart(offset: usize, c: char) -> Slip {
    let sentence = format!("`{c}` is a typographic quote");
    Slip::new(offset, sentence, "use straight double quotes `\"`")
}

/// A text with its quotes that JSON does not allow.
pub(super) fn odd_text(raw: &str, start: usize) -> Slip {
    let mut escaped = false;
    for (n, c) in raw.char_indices() {
        if escaped && !"\"\\/bfnrtu".contains(c) {
            let sentence = format!("`\\{}` is not a JSON escape", printable(&c.to_string()));
            return Slip::new(start + n - 1, sentence, "write `\\\\` for a backslash");
        }
        escaped = !escaped && c == '\\';
    }
    Slip::new(
        start,
        format!("the text {} has an escape `\\u…` that is not a character", shown(raw)),
        "write the character itself",
    )
}

pub(super) fn number(offset: usize, raw: &str) -> Slip {
    let digits = raw.trim_start_matches('0');
    let (sentence, fix) = if raw.contains(['/', ':', '_']) || raw.matches('.').count() > 1 || has_letters(raw)
    {
        (format!("{} has no quotes", shown(raw)), format!("write `\"{}\"`", printable(raw)))
    } else if digits.len() < raw.len() && digits.chars().all(|c| c.is_ascii_digit()) {
        (format!("the number {} begins with a zero", shown(raw)), format!("write `{digits}`"))
    } else {
        (format!("{} is not a JSON number", shown(raw)), "write digits, such as `1500`".to_owned())
    };
    Slip::new(offset, sentence, fix)
}

fn has_letters(raw: &str) -> bool {
    raw.chars().any(|c| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'))
}

impl Scanner<'_> {
    pub(super) fn no_colon(&self, key: &str) -> Slip {
        let key = printable(key);
        let what = match self.peek() {
            Some('=') => format!("the key `{key}` is followed by `=`"),
            Some(',' | '}') => format!("the key `{key}` has no value"),
            _ => format!("the key `{key}` has no `:` after it"),
        };
        Slip::new(self.at, what, format!("write `\"{key}\": …`"))
    }

    /// Something else than `,` or the closing bracket after a value, which ended at `end`.
    pub(super) fn no_comma(&self, end: usize, open: usize, close: char) -> Slip {
        match self.peek() {
            None => self.unclosed(open, close),
            Some(c @ ('}' | ']')) => {
                let (line, _) = line_and_column(self.text, open);
                let opened = if close == '}' { '{' } else { '[' };
                Slip::new(
                    self.at,
                    format!("`{c}` does not close the `{opened}` of line {line}"),
                    format!("write `{close}` first"),
                )
            }
            Some(';') => Slip::new(self.at, "there is a `;` instead of a `,`", "write `,`"),
            Some(_) if self.comment() => self.comment_slip(),
            Some(c) if UNSEEN.contains(&c) => self.unseen(c),
            Some(c) if c == '"' || c == '{' || c == '[' => {
                Slip::new(end, "a `,` is missing", format!("write it before `{}`", self.glimpse()))
            }
            Some(_) => Slip::new(
                self.at,
                format!("expected `,` or `{close}`, but found `{}`", self.glimpse()),
                "put strings into quotes `\"`, and a `,` between two values",
            ),
        }
    }

    pub(super) fn unclosed(&self, open: usize, close: char) -> Slip {
        let opened = if close == '}' { '{' } else { '[' };
        Slip::new(
            open,
            format!("this `{opened}` is never closed"),
            format!("write `{close}` where it ends; the text may have been cut off"),
        )
    }

    pub(super) fn not_a_key(&self) -> Slip {
        match self.peek() {
            Some('\'') => self.single_quotes(),
            Some(c) if SMART.contains(&c) => smart(self.at, c),
            Some(c) if UNSEEN.contains(&c) => self.unseen(c),
            Some('{') if self.text.get(..self.at).is_some_and(|b| b.ends_with('{')) => {
                Slip::new(self.at - 1, TEMPLATE, TEMPLATE_FIX)
            }
            Some('{' | '[') => Slip::new(
                self.at,
                "expected a key, but found a value",
                "write `\"key\": ` before it, or put it into a list `[…]`",
            ),
            Some(',') => Slip::new(self.at, "there is an extra `,`", "remove the comma"),
            Some(_) if self.comment() => self.comment_slip(),
            _ => {
                let word = self.bare();
                match is_bare_key(word) {
                    true => Slip::new(
                        self.at,
                        format!("the key {} has no quotes", shown(word)),
                        format!("write `\"{}\"`", printable(word)),
                    ),
                    false => Slip::new(
                        self.at,
                        format!("expected a key, but found `{}`", self.glimpse()),
                        "write the key in quotes `\"`",
                    ),
                }
            }
        }
    }

    pub(super) fn not_a_value(&self) -> Slip {
        match self.peek() {
            None => Slip::new(
                self.text.trim_end().len(),
                "the text ends where a value is expected",
                "write the value; the text may have been cut off",
            ),
            Some('\'') => self.single_quotes(),
            Some(c) if SMART.contains(&c) => smart(self.at, c),
            Some(c) if UNSEEN.contains(&c) => self.unseen(c),
            Some(',' | '}' | ']') => {
                Slip::new(self.at, "a value is missing", "write one, or remove the key or comma before it")
            }
            Some('$' | '<') => Slip::new(
                self.at,
                format!("`{}` looks like a placeholder that was not filled in", self.glimpse()),
                "write the value itself",
            ),
            Some(_) if self.comment() => self.comment_slip(),
            _ => self.bare_value(),
        }
    }

    fn bare_value(&self) -> Slip {
        let word = self.bare();
        let fix = match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => "write `true`".to_owned(),
            "false" | "no" | "off" => "write `false`".to_owned(),
            "none" | "nil" | "undefined" => "write `null`, or remove the key".to_owned(),
            "nan" | "infinity" => "write a number".to_owned(),
            _ => format!("write `\"{}\"`", printable(word)),
        };
        let sentence = if fix.contains('"') {
            format!("{} has no quotes", shown(word))
        } else {
            format!("{} is not a JSON value", shown(word))
        };
        Slip::new(self.at, sentence, fix)
    }

    fn single_quotes(&self) -> Slip {
        Slip::new(self.at, "the text is in single quotes", "use double quotes `\"`")
    }

    fn unseen(&self, c: char) -> Slip {
        let sentence = format!("there is an invisible character ({})", code(c));
        Slip::new(self.at, sentence, "remove it, or write a plain space")
    }

    pub(super) fn comment(&self) -> bool {
        let rest = self.rest();
        rest.starts_with('#') || rest.starts_with("//") || rest.starts_with("/*")
    }

    pub(super) fn comment_slip(&self) -> Slip {
        Slip::new(
            self.at,
            "there is a comment, and JSON has no comments",
            "remove it, or write it as YAML above `config`",
        )
    }

    /// A word without quotes.
    fn bare(&self) -> &str {
        let rest = self.rest();
        let stop = |c: char| c.is_whitespace() || ",}]\"'".contains(c);
        let word = rest.get(..rest.find(stop).unwrap_or(rest.len())).unwrap_or_default();
        word.trim_end_matches(':')
    }

    /// Some characters of what stands there.
    fn glimpse(&self) -> String {
        let line = self.rest().lines().next().unwrap_or_default();
        printable(&line.chars().take(20).collect::<String>()).replace('`', "'")
    }
}

pub(super) const TEMPLATE: &str = "`{{` looks like a template that was not filled in";
pub(super) const TEMPLATE_FIX: &str = "write the value itself";

pub(super) fn is_bare_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

pub(super) fn shown(raw: &str) -> String {
    let short: String = raw.chars().take(30).collect();
    let more = if short.len() < raw.len() { "…" } else { "" };
    format!("`{}{more}`", printable(&short).replace('`', "'"))
}

fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}
