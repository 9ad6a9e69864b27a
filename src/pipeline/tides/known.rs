//! What a raw day knows of the rows of a package beyond these themselves.

use std::sync::Arc;

use crate::error::Result;
use crate::feeds::tides::{Known, Lookup};
use crate::pipeline::Pipeline;
use crate::pipeline::day::Day;
use crate::pipeline::input::on_thread;

/// Reads what an opened day knows. Rows are judged as everybody's: what is rejected is not known.
///
/// # Errors
/// What judging and reading the day says.
pub(super) async fn known(pipeline: &Pipeline, day: &mut Day) -> Result<Arc<Known>> {
    let mut known = Known::default();
    // All that is looked up is of performed trips.
    if day.identities(Lookup::Performed.dataset()).is_empty() {
        return Ok(Arc::new(known));
    }
    for lookup in Lookup::ALL {
        if day.identities(lookup.dataset()).is_empty() {
            continue;
        }
        let (judged, cancel) = (day.judged(pipeline, lookup.dataset()).await?, pipeline.cancel.clone());
        known = on_thread(move || {
            judged.each(&cancel, &mut |_, kept, _| known.add(lookup, kept))?;
            Ok(known)
        })
        .await?;
    }
    Ok(Arc::new(known))
}
