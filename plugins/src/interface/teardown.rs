//! DEL and GC do all they can and report all that they could not (P-DEL-3).

use manifold_cni::{CniError, code};

#[derive(Debug, Default)]
pub(crate) struct Teardown(Option<CniError>);

impl Teardown {
    /// One more part is over. The first failure keeps its sentence, and the others stand in its details. Its code stays
    /// too, unless it is 1, which says that nothing was done: a failure that says more takes its place.
    pub(crate) fn part(&mut self, outcome: Result<(), CniError>) {
        let Err(error) = outcome else { return };
        match &mut self.0 {
            None => self.0 = Some(error),
            Some(first) => {
                let gap = if first.details.is_empty() { "" } else { "; " };
                first.details += &format!("{gap}also: {error}");
                if first.code == code::INCOMPATIBLE_VERSION {
                    first.code = error.code;
                }
            }
        }
    }

    pub(crate) fn finish(self) -> Result<(), CniError> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: P-DEL-3
    #[test]
    fn the_first_failure_keeps_its_code_and_every_other_is_told() {
        let mut teardown = Teardown::default();
        teardown.part(Ok(()));
        teardown.part(Err(CniError::new(11, "busy")));
        teardown.part(Err(CniError::failed("no route").details("table 7")));
        let error = teardown.finish().unwrap_err();
        assert_eq!(
            error,
            CniError { code: 11, msg: "busy".into(), details: "also: no route; table 7".into() }
        );
        assert_eq!(Teardown::default().finish(), Ok(()));
    }

    // Shows part of: COMPAT-5
    #[test]
    fn code_1_stays_only_where_nothing_else_failed() {
        let joint = |codes: &[u32]| {
            let mut teardown = Teardown::default();
            codes.iter().for_each(|code| teardown.part(Err(CniError::new(*code, "x"))));
            teardown.finish().unwrap_err().code
        };
        assert_eq!(joint(&[1, 1]), 1);
        assert_eq!(joint(&[1, 11]), 11);
        assert_eq!(joint(&[1, 100, 11]), 100);
    }
}
