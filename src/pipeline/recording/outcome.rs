//! What a recorder tells when it ends.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::feeds::recorder::Feed;

/// What `collect` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Collected {
    /// The lake.
    pub to: String,
    /// The name of the feed in a lake of several agencies.
    pub feed: Option<String>,
    /// By what was asked for.
    pub feeds: BTreeMap<Feed, FeedCounts>,
}

/// Polls of a feed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FeedCounts {
    /// All.
    pub polls: u64,
    /// Of these, new messages that were kept.
    pub recorded: u64,
    /// Of these, those that found nothing new.
    pub unchanged: u64,
    /// Of these, those without a whole answer, or with one that cannot be read.
    pub failed: u64,
    /// Of these, new messages that were not kept.
    pub not_kept: u64,
}
