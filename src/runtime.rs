//! Where async work runs.
