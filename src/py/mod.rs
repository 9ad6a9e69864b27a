//! The only place that knows PyO3.
