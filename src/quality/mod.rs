//! The quality room.
