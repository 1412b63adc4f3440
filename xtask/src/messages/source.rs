//! Sentences in Rust sources: string literals of production code, and the help texts of commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{Messages, is_sentence, read};
use crate::lint::text_files;

/// Folders whose programs users do not run.
const NOT_SHIPPED: [&str; 3] = ["e2e", "xtask", "fuzz"];
/// Macros and methods whose text is seen only by whoever debugs a defect.
const FOR_DEFECTS: [&str; 7] =
    ["expect", "unreachable", "panic", "assert", "assert_eq", "assert_ne", "debug_assert"];
/// Derives of clap, whose items have help texts in their documentation.
const HELP: [&str; 4] = ["Parser", "Args", "Subcommand", "ValueEnum"];

pub(super) fn collect(root: &Path) -> anyhow::Result<Messages> {
    let mut messages = Messages::new();
    let mut test_modules = BTreeSet::new();
    for file in text_files(root)?.iter().filter(|file| is_product_source(file)) {
        let name = file.display().to_string();
        let tokens = read(root, &name)?.parse::<TokenStream>();
        let tokens = tokens.map_err(|error| anyhow!("`{name}` cannot be parsed: {error}"))?;
        let mut found = Found::default();
        found.visit(tokens, false);
        test_modules.extend(found.test_modules.iter().flat_map(|module| places_of_module(file, module)));
        messages.insert(name, found.sentences);
    }
    let is_tested = |name: &str| Path::new(name).ancestors().any(|part| test_modules.contains(part));
    messages.retain(|name, _| !is_tested(name));
    Ok(messages)
}

fn is_product_source(file: &Path) -> bool {
    let mut parts = file.iter().filter_map(|part| part.to_str());
    let is_shipped = parts.next().is_some_and(|first| !NOT_SHIPPED.contains(&first));
    is_shipped
        && parts.any(|part| part == "src")
        && file.extension().is_some_and(|extension| extension == "rs")
}

/// The files and the folder of a module that `file` declares.
fn places_of_module(file: &Path, module: &str) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let is_root =
        file.file_stem().is_some_and(|stem| ["lib", "main", "mod"].iter().any(|root| stem == *root));
    let inner = if is_root { folder.to_owned() } else { file.with_extension("") };
    vec![inner.join(format!("{module}.rs")), inner.join(module), folder.join(module)]
}

#[derive(Default)]
struct Found {
    sentences: Vec<String>,
    /// Names and paths of modules that only tests have.
    test_modules: Vec<String>,
}

impl Found {
    fn visit(&mut self, tokens: TokenStream, in_help: bool) {
        let mut tokens = tokens.into_iter().peekable();
        let mut help = false;
        let mut path = None;
        let mut for_defects = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    while let Some(TokenTree::Punct(_)) = tokens.peek() {
                        tokens.next();
                    }
                    let Some(TokenTree::Group(attribute)) = tokens.next() else { continue };
                    match Attribute::new(&attribute) {
                        Attribute::OnlyForTests => self.skip_item(&mut tokens, path.take()),
                        Attribute::Path(file) => path = Some(file),
                        Attribute::Help => help = true,
                        Attribute::Text => self.visit(attribute.stream(), in_help),
                        Attribute::Documentation if in_help => self.visit(attribute.stream(), in_help),
                        Attribute::Documentation | Attribute::Other => {}
                    }
                }
                TokenTree::Ident(name) => for_defects = FOR_DEFECTS.contains(&name.to_string().as_str()),
                TokenTree::Punct(punct) if punct.as_char() == '!' => {}
                TokenTree::Group(group) => {
                    let is_body = group.delimiter() == Delimiter::Brace;
                    if !for_defects {
                        self.visit(group.stream(), in_help || (help && is_body));
                    }
                    help &= !is_body;
                    for_defects = false;
                }
                TokenTree::Literal(literal) => self.add(&literal.to_string()),
                TokenTree::Punct(_) => for_defects = false,
            }
        }
    }

    /// Passes over what follows `#[cfg(test)]`, and keeps the name of a module.
    fn skip_item(&mut self, tokens: &mut impl Iterator<Item = TokenTree>, mut path: Option<String>) {
        let mut is_module = false;
        for token in tokens.by_ref() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
                TokenTree::Group(group) => {
                    if let Attribute::Path(file) = Attribute::new(&group) {
                        path = Some(file);
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => return,
                TokenTree::Ident(word) if word == "mod" => is_module = true,
                TokenTree::Ident(name) if is_module => {
                    self.test_modules.push(name.to_string());
                    self.test_modules.extend(path.take().map(|file| file.trim_end_matches(".rs").to_owned()));
                    is_module = false;
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, literal: &str) {
        let Some(text) = unquoted(literal) else { return };
        if is_sentence(&text) && !self.sentences.contains(&text) {
            self.sentences.push(text);
        }
    }
}

enum Attribute {
    /// `#[cfg(test)]`
    OnlyForTests,
    /// `#[path = "…"]`
    Path(String),
    /// A derive that turns documentation into help texts.
    Help,
    /// `#[error("…")]` and others whose text users see.
    Text,
    Documentation,
    Other,
}

impl Attribute {
    fn new(attribute: &Group) -> Self {
        let mut tokens = attribute.stream().into_iter();
        let Some(TokenTree::Ident(name)) = tokens.next() else { return Self::Other };
        let rest: Vec<TokenTree> = tokens.collect();
        let has = |word: &str| {
            let text = rest.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
        };
        match name.to_string().as_str() {
            "cfg" if has("test") && !has("not") => Self::OnlyForTests,
            "path" => {
                rest.last().and_then(|file| unquoted(&file.to_string())).map_or(Self::Other, Self::Path)
            }
            "derive" if HELP.iter().any(|derive| has(derive)) => Self::Help,
            "error" | "arg" | "command" | "value" => Self::Text,
            "doc" => Self::Documentation,
            _ => Self::Other,
        }
    }
}

/// The text of a string literal, ordinary or raw.
fn unquoted(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                '\n' => characters = characters.as_str().trim_start().chars(),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, sentences: &[&str]) {
        let mut found = Found::default();
        found.visit(source.parse().unwrap(), false);
        assert_eq!(found.sentences, sentences);
    }

    #[test]
    fn literals_of_errors_and_of_code_are_found_with_their_text() {
        let source = r##"
            #[derive(Debug, thiserror::Error)]
            enum Error { #[error("the file `{0}` is empty")] Empty(String) }
            fn f() { warn!("the file \"{x}\" \
                            is gone now"); let raw = r#"write `{"a": 1}` in its place"#; }
        "##;
        check(
            source,
            &["the file `{0}` is empty", "the file \"{x}\" is gone now", "write `{\"a\": 1}` in its place"],
        );
    }

    #[test]
    fn tests_and_texts_for_defects_are_left_out() {
        let source = r#"
            fn f() { x.expect("three is a number"); unreachable!("this can never happen"); }
            #[cfg(test)]
            mod tests { fn g() { let _ = "a sentence of tests"; } }
            #[expect(clippy::x, reason = "the reason is long enough")]
            fn h() { let _ = "a sentence that stays"; }
        "#;
        check(source, &["a sentence that stays"]);
    }

    #[test]
    fn help_texts_are_the_documentation_of_commands_alone() {
        let source = r"
            /// Not a help text at all
            struct Other { /// Nor is this one here
                a: u8 }
            #[derive(Debug, Parser)]
            struct Options { /// Prints the whole page
                page: bool }
        ";
        check(source, &["Prints the whole page"]);
    }

    #[test]
    fn a_module_for_tests_is_left_out_wherever_its_file_is() {
        let mut found = Found::default();
        let source = "#[cfg(test)] mod tests; #[cfg(test)] #[path = \"x_tests.rs\"] mod more;";
        found.visit(source.parse().unwrap(), false);
        assert_eq!(found.test_modules, ["tests", "more", "x_tests"]);
        let places = places_of_module(Path::new("cni/src/json.rs"), "tests");
        assert!(places.contains(&"cni/src/json/tests.rs".into()) && places.contains(&"cni/src/tests".into()));
    }
}
