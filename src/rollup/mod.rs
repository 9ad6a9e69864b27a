//! The rollup room.
