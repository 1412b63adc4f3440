//! One table of everything that was measured.

use super::results::{Floors, Run};
use crate::progress;
use crate::table::Table;

/// Above this share of the machine, a row says that others disturbed it.
const DISTURBED: f64 = 0.10;

pub(super) fn print(floors: &Floors, runs: &[Run]) {
    floors_table(floors).print();
    progress::line("");
    one_by_one(floors, runs).print();
    progress::line("  ~ others used more than a tenth of the machine meanwhile; the time is too long\n");
    at_once(runs).print();
    progress::line("");
}

fn floors_table(floors: &Floors) -> Table {
    let mut table = Table::new(&["Floor", "ms"]);
    let api = floors.api;
    let mut row = |what: String, ms: f64| table.row(vec![vec![what], vec![format!("{ms:.2}")]]);
    row("exec of a static program".into(), floors.exec);
    for ((kind, n), ms) in &floors.netlink {
        row(format!("raw netlink, {n} × {kind}"), *ms);
    }
    let requests = [("handshake", api.tls), ("GET pod", api.get_pod), ("GET definition", api.get_nad)];
    for (what, ms) in requests.into_iter().chain([("PATCH status", api.patch)]) {
        row(format!("TLS, {what}"), ms);
    }
    table
}

fn one_by_one(floors: &Floors, runs: &[Run]) -> Table {
    let mut table = Table::new(&[
        "Networks",
        "Executable",
        "ADD p50",
        "p95",
        "CPU",
        "MiB",
        "Requests",
        "Floor",
        "×",
        "DEL p50",
        "p95",
        "CPU",
        "Failed",
        "",
    ]);
    let Some(first) = runs.first() else { return table };
    for row in &first.seq {
        for run in runs {
            let Some(row) = run.row(&row.kind, row.attach) else { continue };
            let floor = floors.of_add(&row.kind, row.attach);
            let ms = |value: f64| vec![format!("{value:.1}")];
            let disturbed = row.add.foreign.max(row.del.foreign) > DISTURBED;
            table.row(vec![
                vec![format!("{} {}", row.attach, if row.attach == 0 { "" } else { &row.kind })],
                vec![run.name.clone()],
                ms(row.add.wall),
                ms(row.add.p95),
                ms(row.add.cpu),
                ms(row.memory()),
                vec![format!("{:.0}", row.add.requests)],
                floor.map(ms).unwrap_or_default(),
                floor.map(|floor| ms(row.add.wall / floor)).unwrap_or_default(),
                ms(row.del.wall),
                ms(row.del.p95),
                ms(row.del.cpu),
                vec![(row.add.fails + row.del.fails).to_string()],
                vec![if disturbed { "~".into() } else { String::new() }],
            ]);
        }
    }
    table
}

fn at_once(runs: &[Run]) -> Table {
    let mut table = Table::new(&[
        "At once",
        "Executable",
        "Pods",
        "ADD pods/s",
        "p50",
        "p99",
        "DEL pods/s",
        "p50",
        "p99",
        "Failed",
    ]);
    let Some(first) = runs.first() else { return table };
    for storm in &first.par {
        for run in runs {
            let Some(storm) = run.par.iter().find(|s| s.parallel == storm.parallel) else { continue };
            let ms = |value: f64| vec![format!("{value:.1}")];
            table.row(vec![
                vec![storm.parallel.to_string()],
                vec![run.name.clone()],
                vec![storm.pods.to_string()],
                ms(storm.add.pods_per_s),
                ms(storm.add.p50),
                ms(storm.add.p99),
                ms(storm.del.pods_per_s),
                ms(storm.del.p50),
                ms(storm.del.p99),
                vec![(storm.add.fails + storm.del.fails).to_string()],
            ]);
        }
    }
    table
}
