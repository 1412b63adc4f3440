//! Aligned columns of plain text. A cell may hold several lines.

use crate::progress;

const GAP: &str = "  ";

/// The lines of one cell.
pub(crate) type Cell = Vec<String>;

pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Indented by two, the heads in bold where that is possible.
    pub(crate) fn print(&self) {
        let mut lines = self.lines().into_iter();
        if let Some(heads) = lines.next() {
            progress::line(&format!("  {}", progress::bold(&heads)));
        }
        lines.for_each(|line| progress::line(&format!("  {line}")));
    }

    fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let join = |cells: Vec<&str>| -> String {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        let mut lines = vec![join(self.heads.iter().map(String::as_str).collect())];
        for row in &self.rows {
            let height = row.iter().map(Vec::len).max().unwrap_or_default();
            let nth = |n| row.iter().map(move |cell| cell.get(n).map_or("", String::as_str)).collect();
            lines.extend((0..height).map(|n| join(nth(n))));
        }
        lines
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.iter().map(|line| line.chars().count()).fold(*width, usize::max);
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_may_have_several_lines() {
        let mut table = Table::new(&["A", "Long head", "C"]);
        let cell = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Cell>();
        table.row(vec![cell(&["wide one"]), cell(&["x", "y"]), cell(&["1"])]);
        table.row(vec![cell(&["é"]), cell(&[]), cell(&["2"])]);
        let expected =
            ["A         Long head  C", "wide one  x          1", "          y", "é                    2"];
        assert_eq!(table.lines(), expected);
    }
}
