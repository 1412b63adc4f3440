//! The tables, and whether the aim was met: a quarter of the reference's processor time.

use super::Row;
use super::figures::{Calls, Figures, Percentiles};
use crate::bench::goals::{self, Goal};
use crate::progress;
use crate::table::Table;

/// Of the reference's processor time.
const MOST: f64 = 0.25;

type OfVerb = fn(&Figures) -> &Calls;

pub(super) fn print(rows: &[Row]) {
    let verbs: [(&str, OfVerb); 2] = [("ADD", |f| &f.add), ("DEL", |f| &f.del)];
    for (verb, of) in verbs {
        table(verb, rows, of).print();
        progress::line("");
    }
    progress::line("  ms; p50 / p95 / p99; CPU with everything that the plugin executes\n");
    for row in rows {
        for (whose, side) in [("ours", &row.ours), ("the reference", &row.theirs)] {
            if let Err(why) = side {
                let mark = progress::verdict(false, why);
                progress::line(&format!("  {}, {whose}: {mark}", row.case.name));
            }
        }
    }
    goals::print(&aims(rows));
}

fn table(verb: &str, rows: &[Row], of: OfVerb) -> Table {
    let heads = [verb, "CPU, ours", "the reference's", "ratio", "wall, ours", "the reference's", "ratio"];
    let mut table = Table::new(&heads);
    for row in rows {
        let [ours, theirs] = [&row.ours, &row.theirs].map(|side| side.as_ref().ok().map(of));
        let cells = |get: fn(&Calls) -> Percentiles| {
            let [ours, theirs] = [ours, theirs].map(|calls| calls.map(get));
            let ratio = ratio(ours, theirs).map_or(String::new(), |r| format!("{r:.2}"));
            [text(ours), text(theirs), ratio]
        };
        let cells = [vec![row.case.name.to_owned()]]
            .into_iter()
            .chain(cells(Calls::cpu).map(|cell| vec![cell]))
            .chain(cells(Calls::wall).map(|cell| vec![cell]));
        table.row(cells.collect());
    }
    table
}

fn text(figures: Option<Percentiles>) -> String {
    figures.map_or("not measured".to_owned(), |f| format!("{:.1} / {:.1} / {:.1}", f.p50, f.p95, f.p99))
}

fn ratio(ours: Option<Percentiles>, theirs: Option<Percentiles>) -> Option<f64> {
    Some(ours?.p50 / theirs?.p50)
}

fn aims(rows: &[Row]) -> Vec<Goal> {
    let cpu = |side: &Result<Figures, String>| Some(side.as_ref().ok()?.add.cpu());
    let aim = |row: &Row| {
        let text = format!("{}: CPU of an ADD ≤ a quarter of the reference's", row.case.name);
        Goal::at_most(text, ratio(cpu(&row.ours), cpu(&row.theirs)), MOST)
    };
    rows.iter().map(aim).collect()
}
