//! What a merge is asked for, and what it says it did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::Absent;

/// When the rows of a merge hold from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effective {
    /// All from one instant, in microseconds since 1970-01-01T00:00:00Z: a full snapshot.
    At(i64),
    /// Each from the instant in this column of its own: a change feed.
    Column(String),
}

/// How a change feed says that a key is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deleted {
    /// The column that tells it; it plays no other part.
    pub column: String,
    /// The text of the value that means it; unset: the column is boolean, and true means it.
    pub equals: Option<String>,
}

/// A snapshot, or changes, to be merged into a table with history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeSpec {
    /// The table, as SQL names it.
    pub table: String,
    /// The columns that tell its members apart.
    pub key: Vec<String>,
    /// The columns whose changes open a version; all others of the snapshot when unset.
    pub tracked: Option<Vec<String>>,
    /// The columns that show their newest value in every version.
    #[serde(default)]
    pub overwritten: Vec<String>,
    /// When the rows hold from.
    pub effective: Effective,
    /// How a change feed says that a key is gone.
    #[serde(default)]
    pub deleted: Option<Deleted>,
    /// Columns that have another name than before, by their former one.
    #[serde(default)]
    pub renamed: BTreeMap<String, String>,
    /// Takes over the rows of a table that no merge has written, as its history so far.
    #[serde(default)]
    pub adopt: bool,
    /// What a key's absence from a full snapshot means.
    pub absent: Option<Absent>,
    /// Lets a snapshot pass the guard against vanishing keys.
    #[serde(default)]
    pub allow_vanishing: bool,
    /// Work everything out, write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The names of the columns that the merge keeps itself.
    #[serde(default)]
    pub names: Names,
}

/// A table with history that forgets what was loaded after an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewindSpec {
    /// The table, as SQL names it.
    pub table: String,
    /// The last instant that stays, in microseconds since 1970-01-01T00:00:00Z.
    pub to: i64,
    /// Work everything out, write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The names of the columns that a merge keeps itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// The surrogate key; unset: `<table>_sk`.
    pub surrogate: Option<String>,
    /// The first instant of a version.
    pub valid_from: String,
    /// The first instant after it; NULL while open.
    pub valid_to: String,
    /// Whether the version is open; `None`: no such column.
    pub current: Option<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            surrogate: None,
            valid_from: "valid_from".into(),
            valid_to: "valid_to".into(),
            current: Some("is_current".into()),
        }
    }
}

impl Names {
    /// All of them.
    pub(super) fn own(&self) -> impl Iterator<Item = &String> {
        let Self { surrogate, valid_from, valid_to, current } = self;
        surrogate.iter().chain([valid_from, valid_to]).chain(current)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let surrogate = self.surrogate.as_deref().unwrap_or("<table>_sk");
        let current = self.current.as_deref().unwrap_or("no flag");
        write!(f, "{surrogate}, {}, {}, {current}", self.valid_from, self.valid_to)
    }
}

impl MergeSpec {
    /// Reads the request; a wrong or missing field is named.
    ///
    /// # Errors
    /// [`Error::Config`] for fields that are unknown, missing or contradict each other.
    pub fn from_json(json: &str) -> Result<Self> {
        let spec: Self =
            serde_json::from_str(json).map_err(|e| Error::config(format!("the merge cannot be read: {e}")))?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<()> {
        if self.key.is_empty() {
            return Err(Error::config("key is empty, expected the columns that tell the rows of a snapshot apart"));
        }
        if let (Effective::Column(column), Some(absent)) = (&self.effective, self.absent) {
            return Err(Error::config(format!(
                "absent={absent} was given with effective_column={column:?}: in a change feed a key that is not named \
                 did not change; leave absent out"
            )));
        }
        if let (Effective::At(_), Some(deleted)) = (&self.effective, &self.deleted) {
            return Err(Error::config(format!(
                "deleted={:?} was given with effective: a full snapshot says that a key is gone by not naming it; leave \
                 deleted out, or name the rows' times with effective_column",
                deleted.column
            )));
        }
        let mut seen = BTreeSet::new();
        let tracked = self.tracked.iter().flatten();
        let deleted = self.deleted.iter().map(|deleted| &deleted.column);
        let named = self.key.iter().chain(tracked).chain(&self.overwritten).chain(self.time_column()).chain(deleted);
        for column in named {
            if !seen.insert(column) {
                return Err(Error::config(format!(
                    "column {column:?} is named twice among key, tracked, overwritten, effective_column and deleted"
                ))
                .with("column", column));
            }
        }
        self.check_renamed()
    }

    /// The request with a name for the surrogate key of a table.
    pub(super) fn with_names_for(&self, table: &str) -> Self {
        let mut spec = self.clone();
        spec.names.surrogate.get_or_insert_with(|| format!("{table}_sk"));
        spec
    }

    fn check_renamed(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (old, new) in &self.renamed {
            if self.renamed.contains_key(new) || !seen.insert(new) {
                return Err(Error::config(format!(
                    "renamed says that {old:?} is now {new:?}, which it names more than once; expected each column once"
                ))
                .with("column", new));
            }
        }
        Ok(())
    }

    /// The column that a change feed takes its times from.
    pub(super) fn time_column(&self) -> Option<&String> {
        match &self.effective {
            Effective::At(_) => None,
            Effective::Column(column) => Some(column),
        }
    }
}

impl RewindSpec {
    /// Reads the request.
    ///
    /// # Errors
    /// [`Error::Config`] for fields that are unknown or missing.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::config(format!("the rewind cannot be read: {e}")))
    }
}

/// What a merge or a rewind did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Merged {
    /// The table, quoted and qualified.
    pub table: String,
    /// Whether the table was made.
    pub created: bool,
    /// Whether nothing was written: this was asked for.
    pub dry_run: bool,
    /// Rows of the snapshot.
    pub rows_read: u64,
    /// Rows that are equal to another one and became one with it.
    pub rows_duplicate: u64,
    /// Keys of the snapshot; of a change feed, pairs of key and instant.
    pub keys_read: u64,
    /// Keys that nothing was known of at that time.
    pub keys_new: u64,
    /// Keys of which something else was known.
    pub keys_changed: u64,
    /// Known keys that the snapshot does not name, or of which the change feed says that they are gone.
    pub keys_vanished: u64,
    /// New versions.
    pub versions_inserted: u64,
    /// Versions whose interval or values changed.
    pub versions_updated: u64,
    /// Versions that went.
    pub versions_deleted: u64,
    /// Rows written to and removed from the log of what was said.
    pub said_rows: u64,
    /// The history that was taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// Columns that were added to the table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added_columns: Vec<String>,
    /// Columns that the table had already, with values: these now count as what was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adopted_columns: Vec<String>,
    /// Columns that have another name from now on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed_columns: Vec<String>,
    /// Columns that the table has lost: they are out of the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired_columns: Vec<String>,
    /// Columns of the snapshot that play no part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_columns: Vec<String>,
    /// Columns of the history that the snapshot does not state; they keep what they showed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_columns: Vec<String>,
    /// Rules that this call changed; the whole history follows them from now on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_rules: Vec<String>,
    /// Why the digests beside the table could not be kept; the next merge reads the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digests_not_kept: Option<String>,
    /// Whether there was nothing to write.
    #[serde(skip)]
    pub is_unchanged: bool,
    /// Whether the snapshot had no row and therefore said nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_snapshot: bool,
    /// Of a dry run, some of the rows it would write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Value>,
}

impl Merged {
    /// Rows written to and removed from the table.
    pub fn versions_written(&self) -> u64 {
        self.versions_inserted + self.versions_updated + self.versions_deleted
    }
}

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// Versions that the table had.
    pub versions: u64,
    /// Their keys.
    pub key_count: u64,
    /// Ends that no version of the key follows at once, but a later one: the key was gone in between.
    pub gaps: u64,
    /// Some of these keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gap_keys: Vec<String>,
    /// Ends beyond the year 9998, which became NULL.
    pub opened: u64,
    /// Columns that were made or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_columns: Vec<String>,
}
