//! Reviews without a cluster: the answer to a body by the definitions that are given. Nothing is read anew, so a definition
//! that is not given is missing.

use manifold_plan::{Definitions, Policy};

use super::review::{Question, answer};
use super::{Subject, definition, pod, pool, workload};
use crate::config::Config;

/// The bytes that the webhook answers with.
///
/// # Errors
/// If the body is no review.
pub fn review(
    subject: Subject,
    body: &[u8],
    config: &Config,
    policy: &Policy,
    found: &Definitions,
) -> Result<Vec<u8>, String> {
    let question = Question::read(body).map_err(|error| error.to_string())?;
    let verdict = match subject {
        Subject::Definition => definition::review(&question, config, policy),
        Subject::Workload => workload::review(&question),
        Subject::Pool => pool::review_alone(&question),
        Subject::Pod => pod::review_by(&question, policy, config.admission.missing_network, found),
    };
    Ok(answer(&question.uid, &verdict))
}
