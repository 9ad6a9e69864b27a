//! GTFS Schedule into raw days. `ingest` makes them; `origin` is what a day says of the feed that it was made of; `describe` looks at a feed
//! before anything is made of it.

pub(super) mod describe;
pub(super) mod ingest;
pub(super) mod origin;
pub(super) mod outcome;
