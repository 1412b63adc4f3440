//! Where the project lies, and where it keeps what is costly to make again.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace: the folder that holds this crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder of the workspace")
}

/// The folder for what is expensive to build and belongs to no clone: `$MANIFOLD_CACHE`, else
/// `$XDG_CACHE_HOME/manifold`, else `~/.cache/manifold`, so that all clones of a user and CI share it.
pub fn cache() -> PathBuf {
    cache_from(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// Without a home folder the cache is a folder of the project.
fn cache_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let of_user = || {
        let parent = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(parent.join("manifold"))
    };
    variable("MANIFOLD_CACHE").or_else(of_user).unwrap_or_else(|| root().join(".cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &Path) {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        };
        assert_eq!(cache_from(find), expected);
    }

    #[test]
    fn the_cache_belongs_to_the_user_unless_a_variable_names_another() {
        check(&[("HOME", "/h")], Path::new("/h/.cache/manifold"));
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], Path::new("/x/manifold"));
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("MANIFOLD_CACHE", "/m")], Path::new("/m"));
        check(&[], &root().join(".cache"));
    }
}
