//! Ids of an agency as a lake of several agencies knows them.

use std::borrow::Cow;

/// The name of a feed, which stands before each of its ids with a colon; of an only feed there is none.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    prefix: String,
}

impl Ids {
    /// Those of a feed of this name.
    pub fn new(name: Option<&str>) -> Self {
        Self { prefix: name.map(|name| format!("{name}:")).unwrap_or_default() }
    }

    /// Whether the lake knows them as the feed does.
    pub(super) fn are_plain(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Whether ids of a feed of this name are among them; without a name of their own all are.
    pub fn are_also_of(&self, name: Option<&str>) -> bool {
        self.prefix.is_empty() || self.prefix.strip_suffix(':') == name
    }

    /// An id of the feed as the lake knows it; what is blank stays so.
    pub(super) fn of<'a>(&self, id: &'a str) -> Cow<'a, str> {
        if self.prefix.is_empty() || id.is_empty() {
            Cow::Borrowed(id)
        } else {
            Cow::Owned(format!("{}{id}", self.prefix))
        }
    }

    /// An id of the lake as the feed knows it; `None` for that of another feed.
    pub fn own<'a>(&self, id: &'a str) -> Option<&'a str> {
        id.strip_prefix(self.prefix.as_str())
    }

    /// A file of the feed as the quarantine calls it.
    pub(super) fn file(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix.trim_end_matches(':')) }
    }
}
