//! The postgres room.

pub mod copy;
