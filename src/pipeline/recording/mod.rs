//! Recordings of feeds. `collect` makes them, for months, by `recorder`; `recorded` finds what lies in the lake of them.

pub(super) mod collect;
pub(super) mod outcome;
pub(super) mod recorded;
mod recorder;
