//! The source of pods and definitions, behind its gate: a place is taken by the first question and lasts until the answers
//! are there. Who asks nothing stands nowhere.

use std::time::Instant;

use manifold_cni::CniError;
use manifold_ledger::gate::{Gate, Pass};

use super::{Held, attach};
use crate::config::Limits;
use crate::places;
use crate::shim::Shim;
use crate::source::Source;

pub(crate) struct Asking<'a> {
    source: Option<&'a mut (dyn Source + 'static)>,
    enter: Box<dyn Fn() -> Result<Option<Pass>, CniError> + 'a>,
    whole: Instant,
    begun: Option<Begun>,
}

struct Begun {
    #[expect(dead_code, reason = "held, not read")]
    place: Option<Pass>,
    deadline: Instant,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        shim: &'a Shim,
        held: &'a Held<'_>,
        source: Option<&'a mut (dyn Source + 'static)>,
    ) -> Self {
        let whole = shim.add_deadline();
        let enter = move || {
            // Files are read without waiting for anybody.
            if shim.config.manifests.is_some() {
                return Ok(None);
            }
            places::enter(shim, Gate::Ask, &[], whole, &|| attach::go_on(held.lock)).map(Some)
        };
        Self { source, enter: Box::new(enter), whole, begun: None }
    }

    /// With nobody to ask.
    pub(crate) fn nobody() -> Self {
        Self { source: None, enter: Box::new(|| Ok(None)), whole: Instant::now(), begun: None }
    }

    /// Whom to ask, and until when: all questions share one budget, which begins with the first. `None`: there is nobody.
    pub(crate) fn source(&mut self) -> Result<Option<(&mut (dyn Source + 'static), Instant)>, CniError> {
        let Some(source) = self.source.as_deref_mut() else { return Ok(None) };
        let begun = match &self.begun {
            Some(begun) => begun,
            None => {
                let place = (self.enter)()?;
                // Counted from here: neither the default network's start nor the gate is the API server's time.
                let deadline = self.whole.min(Instant::now() + Limits::API);
                self.begun.insert(Begun { place, deadline })
            }
        };
        Ok(Some((source, begun.deadline)))
    }
}
