//! `cargo xtask bench plugins`: what each bundled plugin costs, executed alone under its own name, beside the reference's
//! plugin of that type in the same run.
//!
//! Two hosts, one for each side, and for every round a fresh pod on both; the sides take turns at going first, so what
//! the machine does meanwhile meets both. Wall time is from before the fork until the process is reaped, processor time
//! is that of the process and of all that it executes. What a kernel or the reference's folder lacks is told.

mod call;
mod cases;
mod figures;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use manifold_e2e::executable;
use manifold_e2e::netns::{HostNs, TestNetns};

use crate::{able, build, packages, progress};
use call::Side;
use cases::{Case, Need};
use figures::Figures;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the reference's plugins
    #[arg(long, default_value = "/usr/lib/cni")]
    reference: PathBuf,
    /// How many pods for each type and side
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Few rounds: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Only these rows, by the words they begin with
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// The round that is not counted: it reads the files, and makes what later pods find.
const WARM_UP: usize = 0;

/// What was measured of one row. Without figures of a side there is a reason.
pub(crate) struct Row {
    case: Case,
    ours: Result<Figures, String>,
    theirs: Result<Figures, String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    able::check("bench plugins")?;
    progress::heading("Preparing");
    packages::for_bench()?;
    let manifold = match build::given()? {
        Some(given) => given,
        None => progress::watched("release executable, static, link-time optimised", build::release)?,
    };
    let bed = Bed::new(&manifold, &options.reference)?;
    progress::heading("Measuring");
    progress::line(&format!("  the reference: {}", bed.version()));
    let wanted =
        |case: &Case| options.only.is_empty() || options.only.iter().any(|o| case.name.starts_with(o));
    let rounds = if options.quick { 5 } else { options.rounds.max(1) };
    let mut rows = Vec::new();
    for case in cases::all().into_iter().filter(wanted) {
        let step = format!("{}, {rounds} pods on each side", case.name);
        rows.push(progress::step(&step, || Ok(bed.measure(case, rounds)))?);
    }
    progress::line("");
    report::print(&rows);
    if options.quick {
        progress::line("These are few rounds (--quick): they show that it works, not how fast it is.");
    }
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    match rows.iter().filter(|row| row.ours.is_err()).count() {
        0 if rows.is_empty() => bail!("no row begins with what `--only` names"),
        _ if rows.iter().any(|row| matches!(&row.ours, Err(why) if !cases::is_lack(why))) => {
            bail!("some calls of ours failed; see above")
        }
        _ => Ok(()),
    }
}

struct Bed {
    ours: HostNs,
    theirs: HostNs,
    /// Hard links under the names of plugins.
    links: PathBuf,
    reference: PathBuf,
}

impl Bed {
    fn new(manifold: &Path, reference: &Path) -> anyhow::Result<Self> {
        let reference = reference
            .canonicalize()
            .with_context(|| format!("there are no reference plugins in `{}`", reference.display()))?;
        let (ours, theirs) = (HostNs::new()?, HostNs::new()?);
        let links = ours.folder().join("links");
        executable::install(manifold, &links, cases::TYPES)?;
        Ok(Self { ours, theirs, links, reference })
    }

    /// What the reference says of itself.
    fn version(&self) -> String {
        let said = Command::new(self.reference.join("bridge")).env_clear().output();
        let said = said.map(|out| String::from_utf8_lossy(&out.stderr).into_owned()).unwrap_or_default();
        let folder = self.reference.display();
        format!("{} (`{folder}`)", said.lines().next().unwrap_or("says nothing of its version"))
    }

    /// Every round on both sides, in turns. A failure ends the row for its side alone.
    fn measure(&self, case: Case, rounds: usize) -> Row {
        let [mut ours, mut theirs] = [(&self.ours, &self.links), (&self.theirs, &self.reference)]
            .map(|(host, folder)| Running::start(&case, host, folder));
        if !case.reference_has_it(&self.reference) {
            theirs = Running::ended("NOT MEASURED: the reference's plugin cannot do this");
        }
        for round in WARM_UP..=rounds {
            let mut turn = [&mut ours, &mut theirs];
            if round % 2 == 1 {
                turn.reverse();
            }
            turn.into_iter().for_each(|side| side.round(&case, round));
        }
        Row { ours: ours.end(), theirs: theirs.end(), case }
    }
}

/// One side of a row while it is measured.
enum Running<'a> {
    Well(Side<'a>, Figures),
    Ended(String),
}

impl<'a> Running<'a> {
    fn start(case: &Case, host: &'a HostNs, folder: &Path) -> Self {
        if let Some(lack) = case.need.and_then(Need::lack) {
            return Self::ended(&lack);
        }
        if !folder.join(case.kind).is_file() {
            return Self::ended(&format!("NOT MEASURED: no `{}` in its folder", case.kind));
        }
        match Side::prepare(case, host, folder) {
            Ok(side) => Self::Well(side, Figures::default()),
            Err(error) => Self::ended(&format!("FAILED: {error:#}")),
        }
    }

    fn ended(why: &str) -> Self {
        Self::Ended(why.to_owned())
    }

    fn round(&mut self, case: &Case, round: usize) {
        let Self::Well(side, figures) = self else { return };
        let measured = TestNetns::new().and_then(|pod| side.round(case, &pod, round));
        match measured {
            Ok(_) if round == WARM_UP => {}
            Ok(spent) => figures.push(spent),
            Err(error) => *self = Self::Ended(format!("FAILED: {error:#}")),
        }
    }

    fn end(self) -> Result<Figures, String> {
        match self {
            Self::Well(_, figures) => Ok(figures),
            Self::Ended(why) => Err(why),
        }
    }
}
