//! The bearer token: one type, without `Debug`, that only the request header ever sees (S-2).

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::super::{Kind, SourceError, confdir};

/// A token of a service account is 1 to 2 KiB.
const MOST: u64 = 64 << 10;

/// Where the token comes from.
pub(super) enum TokenFrom {
    /// The client certificate speaks for itself, or nobody does.
    Nowhere,
    Inline(Bearer),
    File(PathBuf),
}

/// The value of the `authorization` header, marked so that no library prints it.
#[derive(Clone)]
pub(super) struct Bearer(HeaderValue);

impl Bearer {
    pub(super) fn of(token: &str) -> Option<Self> {
        let token = token.trim();
        // A space or a line break inside is a torn or foreign file.
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    fn read(path: &Path) -> Result<Self, SourceError> {
        let bad = |why: &str| {
            let what = format!(
                "token file `{}` {why}; the node agent writes it, so check that it runs on this node",
                path.display()
            );
            SourceError::new(Kind::Credentials, what)
        };
        let bytes = confdir::regular(path, MOST).map_err(|e| bad(&format!("cannot be read ({e})")))?;
        let text = String::from_utf8(bytes).map_err(|_| bad("holds no token"))?;
        Self::of(&text).ok_or_else(|| bad("holds no token"))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// The token in use. It is read again once, when the server refuses it.
pub(super) struct Token {
    from: TokenFrom,
    bearer: Option<Bearer>,
    generation: u32,
}

impl Token {
    pub(super) fn load(from: TokenFrom) -> Result<Self, SourceError> {
        let bearer = match &from {
            TokenFrom::Nowhere => None,
            TokenFrom::Inline(bearer) => Some(bearer.clone()),
            TokenFrom::File(path) => Some(Bearer::read(path)?),
        };
        Ok(Self { from, bearer, generation: 0 })
    }

    pub(super) fn current(&self) -> (Option<&Bearer>, u32) {
        (self.bearer.as_ref(), self.generation)
    }

    /// A token newer than `refused`, if there is one: of several calls that are refused at once, the first reads.
    pub(super) fn again(&mut self, refused: u32) -> bool {
        let TokenFrom::File(path) = &self.from else { return false };
        if self.generation == refused
            && self.generation == 0
            && let Ok(bearer) = Bearer::read(path)
        {
            self.bearer = Some(bearer);
            self.generation = 1;
        }
        self.generation > refused
    }
}

/// Leaves the mark that the node agent watches: the server refuses the token. Best effort, the call fails anyway.
pub(super) fn mark_refused(state_dir: &Path) {
    let folder = state_dir.join("credentials");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let marked = made
        .and_then(|()| options.open(folder.join("refused")))
        .and_then(|mut file| writeln!(file, "{}", jiff::Timestamp::now()));
    if let Err(why) = marked {
        tracing::warn!("the mark that the token is refused cannot be left in `{}` ({why})", folder.display());
    }
}
