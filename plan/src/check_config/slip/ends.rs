//! What stands before a configuration begins, and behind its end.

use super::reason::{TEMPLATE, TEMPLATE_FIX, is_bare_key, shown};
use super::{Scanner, Slip};

impl Scanner<'_> {
    /// Before the first value: what is no JSON object at all.
    pub(super) fn beginning(&mut self) -> Result<(), Slip> {
        self.blank();
        let rest = self.rest();
        let slip = |sentence: &str, fix: &str| Err(Slip::new(self.at, sentence, fix));
        let first_line = rest.lines().next().unwrap_or_default();
        match self.peek() {
            None => slip("the text is empty", "write a CNI configuration, `{\"type\": …}`"),
            Some('\u{feff}') => {
                slip("the text begins with a byte order mark", "save the file as UTF-8 without one")
            }
            Some('{') if rest.starts_with("{{") => slip(TEMPLATE, TEMPLATE_FIX),
            Some('{') => Ok(()),
            Some('[') => slip(
                "it is a list, but a configuration is an object",
                "write `{\"cniVersion\": \"1.0.0\", \"plugins\": […]}` with the list in it",
            ),
            Some('"' | '\'') => slip(
                "it is a quoted string, but a configuration is an object",
                "take off the outer quotes, so that it begins with `{`",
            ),
            Some('`') => slip("it begins with a backquote", "write the JSON alone, beginning with `{`"),
            Some('/' | '#') if self.comment() => Err(self.comment_slip()),
            Some(_) if first_line.split_once(':').is_some_and(|(k, _)| is_bare_key(k.trim())) => {
                slip("it is YAML, but a configuration is JSON text", "write it as JSON, beginning with `{`")
            }
            Some('-') => slip(
                "it is a YAML list, but a configuration is JSON text",
                "write it as JSON, beginning with `{`",
            ),
            Some(_) => Err(Slip::new(
                self.at,
                format!("it begins with {}, but a configuration is a JSON object", shown(first_line)),
                "write JSON, beginning with `{`",
            )),
        }
    }

    pub(super) fn after_the_end(&self) -> Slip {
        let rest = self.rest();
        match self.peek() {
            Some(c @ ('}' | ']')) => Slip::new(
                self.at,
                format!("there is an extra `{c}`"),
                "remove it, or the one before it that ends too early",
            ),
            Some('{') => Slip::new(
                self.at,
                "a second object follows the configuration",
                "put several plugins into one `{\"plugins\": [{…}, {…}]}`",
            ),
            Some(',') => Slip::new(self.at, "a `,` follows the end of the configuration", "remove the comma"),
            _ if self.comment() => self.comment_slip(),
            _ => {
                let line = rest.lines().next().unwrap_or_default();
                Slip::new(
                    self.at,
                    format!("{} follows the end of the configuration", shown(line)),
                    "remove it",
                )
            }
        }
    }
}
