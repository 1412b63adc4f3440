//! Links of a folder of HTML that lead nowhere: to a file that does not exist, or to a place that a page does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

/// Pages that repeat others.
const REPEATED: [&str; 3] = ["print.html", "toc.html", "404.html"];

/// A link that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeadLink {
    /// The page that has it, from the book's folder.
    page: PathBuf,
    target: String,
}

impl DeadLink {
    /// Whether it leads to a file or folder of the repository that is no page, such as `deploy/`, seen from one of these folders.
    pub(super) fn is_file_of(&self, folders: &[PathBuf]) -> bool {
        let path = self.target.split('#').next().unwrap_or_default();
        let from_page = normal(&self.page.parent().unwrap_or(Path::new("")).join(path));
        let is_page = path.ends_with(".html") || path.is_empty();
        !is_page && folders.iter().any(|folder| folder.join(&from_page).exists())
    }
}

impl fmt::Display for DeadLink {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: `{}`", self.page.display(), self.target)
    }
}

pub(super) fn find_dead(folder: &Path) -> anyhow::Result<Vec<DeadLink>> {
    let mut pages = BTreeMap::new();
    read_pages(folder, Path::new(""), &mut pages)?;
    let anchors: BTreeMap<&Path, BTreeSet<&str>> =
        pages.iter().map(|(page, html)| (page.as_path(), attributes(html, "id").collect())).collect();
    let mut dead = Vec::new();
    for (page, html) in &pages {
        for target in
            attributes(html, "href").chain(attributes(html, "src")).filter(|target| is_relative(target))
        {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() {
                page.clone()
            } else {
                normal(&page.parent().unwrap_or(Path::new("")).join(path))
            };
            let has_anchor = || anchors.get(to.as_path()).is_none_or(|known| known.contains(anchor));
            if !folder.join(&to).exists() || !(anchor.is_empty() || has_anchor()) {
                dead.push(DeadLink { page: page.clone(), target: target.to_owned() });
            }
        }
    }
    Ok(dead)
}

fn read_pages(folder: &Path, inner: &Path, pages: &mut BTreeMap<PathBuf, String>) -> anyhow::Result<()> {
    let listed =
        fs::read_dir(folder.join(inner)).with_context(|| format!("cannot list `{}`", inner.display()))?;
    for entry in listed {
        let path = inner.join(entry.context("cannot list the book")?.file_name());
        let whole = folder.join(&path);
        let is_repeated = REPEATED.iter().any(|name| path == Path::new(name));
        if whole.is_dir() {
            read_pages(folder, &path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") && !is_repeated {
            let html =
                fs::read_to_string(&whole).with_context(|| format!("cannot read `{}`", path.display()))?;
            pages.insert(path, html);
        }
    }
    Ok(())
}

/// The values of an attribute in tags.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!(" {name}=\"");
    html.split('<').filter_map(move |rest| {
        let (tag, _) = rest.split_once('>')?;
        tag.split_once(&begin)?.1.split('"').next()
    })
}

fn is_relative(target: &str) -> bool {
    !target.is_empty()
        && !target.contains("://")
        && !target.starts_with("mailto:")
        && !target.starts_with("data:")
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_page_and_a_missing_anchor_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        let page = r##"<h1 id="top">x</h1> <a href="in/b.html#there">1</a> <a class="y" href="in/b.html#gone">2</a>
            <a href="c.html">3</a> <a href="#top">4</a> <a href="https://example.org">5</a>"##;
        fs::write(folder.path().join("a.html"), page).unwrap();
        fs::write(folder.path().join("in/b.html"), r#"<p id="there"><a href="../a.html">up</a></p>"#)
            .unwrap();
        let dead = find_dead(folder.path()).unwrap();
        let dead: Vec<String> = dead.iter().map(ToString::to_string).collect();
        assert_eq!(dead, ["a.html: `in/b.html#gone`", "a.html: `c.html`"]);
    }

    #[test]
    fn a_folder_of_the_repository_is_no_page_and_may_be_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deploy")).unwrap();
        let link = |target: &str| DeadLink { page: "docs/a.html".into(), target: target.into() };
        let folders = [folder.path().to_owned()];
        assert!(link("../deploy").is_file_of(&folders));
        assert!(!link("../gone").is_file_of(&folders) && !link("deploy.html").is_file_of(&folders));
    }
}
