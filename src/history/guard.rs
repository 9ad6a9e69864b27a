//! Refuses a snapshot from which too many keys vanished, before it closes half a dimension.

use crate::error::{Error, Result};
use crate::model::Absent;

/// From how many vanished keys on their share is judged.
const VANISHED_KEYS_FLOOR: u64 = 10;
/// The share of keys, in per cent, that may vanish.
const VANISHED_PERCENT_LIMIT: u64 = 30;
/// How many vanished keys a message names.
pub(crate) const KEYS_NAMED: usize = 5;

/// A snapshot against the nearest earlier loaded day.
#[derive(Clone, Copy, Debug)]
pub struct Census<'a> {
    /// Keys of that day; 0 when no earlier day is loaded.
    pub previous_keys: u64,
    /// How many of them the snapshot does not name; a rejected row names its key.
    pub vanished: u64,
    /// Some of the vanished keys, for the message.
    pub vanished_keys: &'a [&'a str],
    /// Rows of the snapshot, rejected ones included.
    pub snapshot_rows: u64,
}

/// Lets a snapshot pass or refuses it.
///
/// Under [`Absent::Ignore`] everything passes: absence says nothing there. Under [`Absent::Close`] a snapshot is refused
/// that is empty, or in which at least 10 keys and more than 30 % of the keys vanished; under [`Absent::Error`] already one
/// vanished key is too many. `allow_vanishing` is the caller's word that all this is right; vanished keys are then closed.
///
/// # Errors
/// [`Error::Data`] with the counts, some keys and the setting that lets the snapshot pass.
pub fn guard(census: &Census<'_>, absent: Absent, allow_vanishing: bool) -> Result<()> {
    if absent == Absent::Ignore || allow_vanishing {
        return Ok(());
    }
    let Census { previous_keys, vanished, snapshot_rows, .. } = *census;
    let hint = "if this is right, load it with allow_vanishing=True (--allow-vanishing)";
    let refuse = |message: String| {
        Error::data(message)
            .with("previous_keys", previous_keys)
            .with("vanished_keys", vanished)
            .with("snapshot_rows", snapshot_rows)
    };
    if snapshot_rows == 0 {
        let message = match previous_keys {
            0 => format!("the snapshot has no row, and no earlier one has brought any key; {hint}"),
            _ => format!("the snapshot has no row and would close every key ({previous_keys} before it); {hint}"),
        };
        return Err(refuse(message));
    }
    let percent = vanished as f64 * 100.0 / previous_keys.max(1) as f64;
    let lost = format!("{vanished} of {previous_keys} keys ({percent:.1} %) vanished since the loaded day before");
    let named = name(census);
    if absent == Absent::Error && vanished > 0 {
        return Err(refuse(format!("{lost}{named}, expected every key (absent=error); {hint}")));
    }
    let is_over = u128::from(vanished) * 100 > u128::from(previous_keys) * u128::from(VANISHED_PERCENT_LIMIT);
    if vanished >= VANISHED_KEYS_FLOOR && is_over {
        return Err(refuse(format!("{lost}{named}, at most {VANISHED_PERCENT_LIMIT} % may; {hint}")));
    }
    Ok(())
}

fn name(census: &Census<'_>) -> String {
    let named: Vec<String> = census.vanished_keys.iter().take(KEYS_NAMED).map(|key| format!("'{key}'")).collect();
    match named.len() {
        0 => String::new(),
        count if census.vanished > count as u64 => format!(" ({}, ...)", named.join(", ")),
        _ => format!(" ({})", named.join(", ")),
    }
}
