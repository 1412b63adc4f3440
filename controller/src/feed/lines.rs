//! The lines of a watch, each of a bounded length.

use std::io;
use std::pin::Pin;
use std::time::Instant;

use futures::{AsyncBufRead, AsyncBufReadExt as _};

use super::items::ITEM_MOST_BYTES;

pub(super) type Body = Pin<Box<dyn AsyncBufRead + Send>>;

/// A line of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(Vec<u8>),
    /// It was passed over.
    TooLong,
}

pub(super) struct Lines {
    body: Body,
    line: Vec<u8>,
    is_too_long: bool,
    pub(super) began: Instant,
    pub(super) said_anything: bool,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        Self { body, line: Vec::new(), is_too_long: false, began: Instant::now(), said_anything: false }
    }

    /// The next line; none at the end. What has come of a line is kept when this is dropped in the middle.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.body.fill_buf().await?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (text, taken) = match end {
                _ if bytes.is_empty() => {
                    return Ok(self.whole().filter(|line| *line != Line::Text(Vec::new())));
                }
                Some(end) => (bytes.get(..end).unwrap_or_default(), end + 1),
                None => (bytes, bytes.len()),
            };
            self.is_too_long |= self.line.len() + text.len() > ITEM_MOST_BYTES;
            match self.is_too_long {
                true => self.line.clear(),
                false => self.line.extend_from_slice(text),
            }
            self.body.consume_unpin(taken);
            if end.is_some() {
                return Ok(self.whole());
            }
        }
    }

    fn whole(&mut self) -> Option<Line> {
        let text = std::mem::take(&mut self.line);
        match std::mem::take(&mut self.is_too_long) {
            true => Some(Line::TooLong),
            false => Some(Line::Text(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: Vec<u8>) -> Vec<Line> {
        let body = futures::io::BufReader::with_capacity(7, futures::io::Cursor::new(bytes));
        let mut lines = Lines::new(Box::pin(body));
        let mut all = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while let Some(line) = runtime.block_on(lines.next()).unwrap() {
            all.push(line);
        }
        all
    }

    fn text(line: &str) -> Line {
        Line::Text(line.as_bytes().to_vec())
    }

    #[test]
    fn lines_come_as_they_were_written() {
        assert_eq!(
            lines(b"a line of some words\n\nb\nno end".to_vec()),
            [text("a line of some words"), text(""), text("b"), text("no end")]
        );
        assert_eq!(lines(Vec::new()), []);
    }

    // Proves: F-CTL-9
    #[test]
    fn a_line_beyond_the_limit_is_passed_over_and_the_next_is_read() {
        let long = [vec![b'x'; ITEM_MOST_BYTES + 1], b"\nb\n".to_vec()].concat();
        assert_eq!(lines(long), [Line::TooLong, text("b")]);
    }
}
