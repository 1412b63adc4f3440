//! `cargo xtask book`: `docs/` as a book in `target/book/html`, with the pages of the repository's root, and every link checked.
//!
//! mdBook reads one folder. The pages are therefore copied to `target/book/source` in the layout of the repository, so that
//! links between them work unchanged in the book and on a forge.

mod links;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use manifold_e2e::checkers;

use crate::lint::text_files;
use crate::{build, progress};

/// Pages of the repository's root, with their titles in the book.
const ROOT_PAGES: [(&str, &str); 6] = [
    ("README.md", "Manifold"),
    ("ARCHITECTURE.md", "Architecture"),
    ("CONTRIBUTING.md", "Contributing"),
    ("CHANGELOG.md", "Changelog"),
    ("SECURITY.md", "Security"),
    ("CODE_OF_CONDUCT.md", "Code of conduct"),
];
/// The summary begins with this page; the root's README comes before it.
const FIRST_PAGE: &str = "[Documentation by reader](README.md)\n";

pub(crate) fn run() -> anyhow::Result<()> {
    let page = progress::watched("the book (docs/), links checked", |detail| {
        build_at(&build::root().join("target/book"), &mut |step| detail.say(step))
    })?;
    progress::line(&page.display().to_string());
    Ok(())
}

/// Builds the book below `folder`, checks its links, and returns its first page.
fn build_at(folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let root = build::root();
    let (source, html) = (folder.join("source"), folder.join("html"));
    stage(&root, &source)?;
    let mdbook = checkers::mdbook(progress)?;
    let output = Command::new(mdbook).arg("build").arg("--dest-dir").arg(&html).arg(&source).output();
    let output = output.context("cannot run mdbook")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || text.contains("WARN") {
        bail!("mdbook cannot build `docs/`:\n{}", text.trim());
    }
    let pages = [root.join("docs"), root.clone()];
    let dead = links::find_dead(&html)?;
    let dead: Vec<String> =
        dead.into_iter().filter(|link| !link.is_file_of(&pages)).map(|link| link.to_string()).collect();
    if !dead.is_empty() {
        bail!("links of the book that lead nowhere:\n{}", dead.join("\n"));
    }
    Ok(html.join("index.html"))
}

/// Copies every page, and makes a summary of all.
fn stage(root: &Path, source: &Path) -> anyhow::Result<()> {
    if source.exists() {
        fs::remove_dir_all(source).context("cannot remove the earlier copy of the pages")?;
    }
    let is_page =
        |file: &Path| file.starts_with("docs") || ROOT_PAGES.iter().any(|(name, _)| file == Path::new(name));
    for file in text_files(root)?.iter().filter(|file| is_page(file)) {
        let target = source.join(file);
        fs::create_dir_all(target.parent().unwrap_or(source)).context("cannot make a folder of the book")?;
        fs::copy(root.join(file), &target).with_context(|| format!("cannot copy `{}`", file.display()))?;
    }
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read `{name}`"));
    let book = read("docs/book.toml")?.replace("mermaid.js", "docs/mermaid.js");
    fs::write(source.join("book.toml"), book).context("cannot write `book.toml`")?;
    fs::write(source.join("SUMMARY.md"), summary(&read("docs/SUMMARY.md")?)?)
        .context("cannot write `SUMMARY.md`")
}

/// The summary of `docs/` with paths from the repository's root, and the pages that are there.
fn summary(of_docs: &str) -> anyhow::Result<String> {
    let moved = of_docs.replace("](", "](docs/");
    let (head, rest) = moved
        .split_once(&FIRST_PAGE.replace("](", "](docs/"))
        .with_context(|| format!("`docs/SUMMARY.md` does not begin with `{}`", FIRST_PAGE.trim()))?;
    let [(first, title), others @ ..] = ROOT_PAGES;
    let others = others.map(|(name, title)| format!("- [{title}]({name})\n")).concat();
    let docs = FIRST_PAGE.replace("](", "](docs/");
    Ok(format!("{head}[{title}]({first})\n{docs}{rest}\n# Project\n{others}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_built_and_every_link_of_it_leads_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        let first = build_at(folder.path(), &mut |_| ()).unwrap();
        let html = fs::read_to_string(first).unwrap();
        assert!(html.contains("CNI meta-plugin"));
        let architecture = fs::read_to_string(folder.path().join("html/ARCHITECTURE.html")).unwrap();
        assert_eq!(architecture.matches("language-mermaid").count(), 3);
    }

    #[test]
    fn every_page_of_docs_is_in_the_summary() {
        let root = build::root();
        let listed = fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
        let pages = text_files(&root).unwrap();
        let pages = pages.iter().filter_map(|file| file.strip_prefix("docs").ok()).filter_map(Path::to_str);
        let missing: Vec<&str> = pages
            .filter(|page| {
                page.ends_with(".md") && *page != "SUMMARY.md" && !listed.contains(&format!("]({page})"))
            })
            .collect();
        assert!(missing.is_empty(), "add to docs/SUMMARY.md: {missing:?}");
    }

    #[test]
    fn the_summary_has_the_pages_of_the_root_first_and_last() {
        let whole = summary(&format!("# Summary\n\n{FIRST_PAGE}\n- [A](a.md)\n")).unwrap();
        assert!(
            whole.starts_with(
                "# Summary\n\n[Manifold](README.md)\n[Documentation by reader](docs/README.md)\n"
            )
        );
        assert!(whole.contains("- [A](docs/a.md)\n\n# Project\n- [Architecture](ARCHITECTURE.md)\n"));
        assert!(summary("# Summary\n").is_err());
    }
}
