//! What became of an input.

use std::fmt;

use manifold_cni::CniError;
use manifold_plan::Refusal;

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was understood, in a form that a person can compare.
    Accepted(String),
    /// Why it was refused.
    Refused {
        /// The CNI error code, where a runtime is told.
        code: Option<u32>,
        /// What, where, how to fix it.
        sentence: String,
    },
}

impl Answer {
    /// A refusal that no runtime sees, such as of a file of our own.
    pub fn refused(sentence: impl ToString) -> Self {
        Self::Refused { code: None, sentence: sentence.to_string() }
    }

    /// Whether it was accepted.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// The text of either.
    pub fn text(&self) -> &str {
        match self {
            Self::Accepted(text) => text,
            Self::Refused { sentence, .. } => sentence,
        }
    }
}

impl From<CniError> for Answer {
    fn from(error: CniError) -> Self {
        Self::Refused { code: Some(error.code), sentence: error.to_string() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: Some(refusal.code), sentence: refusal.to_string() }
    }
}

/// As the corpus stores it: how it ended on the first line, the text below. Long texts keep both ends and their length.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(_) => f.write_str("accepted")?,
            Self::Refused { code: Some(code), .. } => write!(f, "refused, code {code}")?,
            Self::Refused { code: None, .. } => f.write_str("refused")?,
        }
        for line in self.text().lines() {
            write!(f, "\n    {}", shortened(line))?;
        }
        Ok(())
    }
}

fn shortened(line: &str) -> String {
    const MOST: usize = 600;
    let count = line.chars().count();
    if count <= MOST {
        return line.to_owned();
    }
    let head: String = line.chars().take(MOST / 2).collect();
    let tail: String = line.chars().skip(count - 60).collect();
    format!("{head} […{count} characters…] {tail}")
}
