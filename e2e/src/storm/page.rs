//! The part of `docs/reliability.md` that a run writes itself.

use super::figures::{Figures, grouped};
use super::run::Ran;

const BEGIN: &str = "<!-- figures: written by `cargo xtask storm` -->";
const END: &str = "<!-- end of figures -->";

/// The page with other figures; nothing where the page has no place for them.
pub fn with_figures(page: &str, figures: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{figures}\n{END}{after}"))
}

/// What was run and what came of it, as Markdown.
pub fn figures(command: &str, day: &str, machine: &str, all: &[Ran]) -> String {
    let mut text = format!(
        "`{command}`, {day}, {machine}.\n\n| suite | tried | went wrong | in |\n| --- | --- | --- | --- |\n"
    );
    for Ran { suite, figures } in all {
        let tried: Vec<String> =
            figures.tried.iter().map(|(what, count)| format!("{} {what}", grouped(*count))).collect();
        let verdict = Figures::verdict(figures.bad.len() as u64, figures.all());
        text.push_str(&format!(
            "| {} | {} | {verdict} | {} s |\n",
            suite.title(),
            tried.join(", "),
            figures.took.as_secs()
        ));
    }
    let noted: Vec<String> = all
        .iter()
        .flat_map(|ran| ran.figures.noted.iter().map(|(what, count)| format!("{what}: {}", grouped(*count))))
        .chain(
            all.iter()
                .flat_map(|ran| ran.figures.measured.iter().map(|(what, value)| format!("{what}: {value}"))),
        )
        .collect();
    if !noted.is_empty() {
        text.push_str("\nBeside:\n\n");
        noted.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(with_figures(&page, "new"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(with_figures("a", "new"), None);
    }

    #[test]
    fn a_suite_is_one_line_with_what_it_tried_and_the_bound() {
        let mut tried = Figures::default();
        (0..3000).for_each(|_| tried.count("kills of ADD"));
        let ran = [Ran { suite: super::super::run::Suite::Kills, figures: tried }];
        let text = figures("cargo xtask storm", "today", "2 cores", &ran);
        assert!(
            text.contains(
                "| SIGKILL at a system call | 3,000 kills of ADD | 0 of 3,000 (at most 0.100 %) | 0 s |"
            ),
            "{text}"
        );
    }
}
