//! One error type, sorted by what the caller can do about it.
//!
//! Each variant carries a one-line message, named context (file, column, row, table, SQLSTATE, ...) and its
//! source. Whether a retry can help is a property of the error. There is no blanket `From` for third-party
//! errors: context is attached where the input or output happens. Messages never hold a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, by what the caller can do.
#[derive(Debug)]
pub enum Error {
    /// A setting is missing, unknown or contradictory: change the call.
    Config(Box<Detail>),
    /// The partition, file or table asked for is not there.
    NotFound(Box<Detail>),
    /// Columns or types of the input cannot become ours: change the producer.
    Schema(Box<Detail>),
    /// Values of the input break a promise (unreadable file, too many rejects, a guard): repair the input.
    Data(Box<Detail>),
    /// A check of severity `error` failed: look at its report.
    Quality(Box<Detail>),
    /// Another run holds the lock, or the state changed underneath: run again.
    Conflict(Box<Detail>),
    /// The lake could not be read or written.
    Storage(Box<Detail>),
    /// PostgreSQL or ClickHouse refused or went away.
    Database(Box<Detail>),
    /// The caller stopped the work.
    Cancelled(Box<Detail>),
    /// A defect of metropulse itself.
    Internal(Box<Detail>),
}

/// The parts of an error.
#[derive(Debug, Default)]
pub struct Detail {
    /// One lower-case clause: what was found, what was expected, what to do.
    pub message: String,
    /// Named facts: `file`, `column`, `row`, `table`, `sqlstate`, ...
    pub context: BTreeMap<&'static str, String>,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
    /// The report of a verb that found something wrong, as JSON.
    pub report: Option<String>,
    source: Option<Source>,
}

macro_rules! constructors {
    ($($name:ident $variant:ident $retryable:literal $doc:literal;)*) => {
        $(#[doc = $doc]
        pub fn $name(message: impl Into<String>) -> Self {
            Self::$variant(Box::new(Detail { message: message.into(), retryable: $retryable, ..Detail::default() }))
        })*
    };
}

impl Error {
    constructors! {
        config Config false "A setting the caller must change.";
        not_found NotFound true "Something asked for that is not there (yet).";
        schema Schema false "Columns or types that cannot become ours.";
        data Data false "Values that break a promise.";
        quality Quality false "A check that matters failed.";
        conflict Conflict true "Another run is at work, or the state changed underneath.";
        storage Storage true "The lake could not be read or written.";
        database Database true "A database refused or went away.";
        cancelled Cancelled false "The caller stopped the work.";
        internal Internal false "A defect of metropulse itself.";
    }

    /// The name of the variant, as Python and the CLI show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::NotFound(_) => "not_found",
            Self::Schema(_) => "schema",
            Self::Data(_) => "data",
            Self::Quality(_) => "quality",
            Self::Conflict(_) => "conflict",
            Self::Storage(_) => "storage",
            Self::Database(_) => "database",
            Self::Cancelled(_) => "cancelled",
            Self::Internal(_) => "internal",
        }
    }

    /// Message, context and retryability.
    pub fn detail(&self) -> &Detail {
        match self {
            Self::Config(d)
            | Self::NotFound(d)
            | Self::Schema(d)
            | Self::Data(d)
            | Self::Quality(d)
            | Self::Conflict(d)
            | Self::Storage(d)
            | Self::Database(d)
            | Self::Cancelled(d)
            | Self::Internal(d) => d,
        }
    }

    fn detail_mut(&mut self) -> &mut Detail {
        match self {
            Self::Config(d)
            | Self::NotFound(d)
            | Self::Schema(d)
            | Self::Data(d)
            | Self::Quality(d)
            | Self::Conflict(d)
            | Self::Storage(d)
            | Self::Database(d)
            | Self::Cancelled(d)
            | Self::Internal(d) => d,
        }
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.detail().retryable
    }

    /// Whether the caller stopped the work.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled(_) => true,
            Self::Config(_)
            | Self::NotFound(_)
            | Self::Schema(_)
            | Self::Data(_)
            | Self::Quality(_)
            | Self::Conflict(_)
            | Self::Storage(_)
            | Self::Database(_)
            | Self::Internal(_) => false,
        }
    }

    /// Whether a server that is there refused the connection, or cut it off.
    pub(crate) fn is_refused_or_cut(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
        let kind = io_kind(self);
        kind.is_some_and(|kind| {
            [BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof].contains(&kind)
        })
    }

    /// Adds a named fact; the innermost one wins.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.detail_mut().context.entry(name).or_insert_with(|| value.to_string());
        self
    }

    /// Adds a clause to the message.
    #[must_use]
    pub fn and(mut self, clause: impl fmt::Display) -> Self {
        let message = &mut self.detail_mut().message;
        *message = format!("{message}; {clause}");
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.detail_mut().source = Some(source.into());
        self
    }

    /// Attaches the report of what was found, as JSON.
    #[must_use]
    pub fn reporting(mut self, report: String) -> Self {
        self.detail_mut().report = Some(report);
        self
    }

    /// Overrides whether a retry can help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.detail_mut().retryable = retryable;
        self
    }
}

/// What the system said of a failure, wherever in the chain of causes.
pub(crate) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        cause = current.source();
    }
    None
}

/// Whether a disk, a quota or a limit on the size of files is full.
pub(crate) fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded, FileTooLarge].contains(&kind)
}

/// All messages from an error down to its root in one line, each said once: the words of a driver alone seldom tell what
/// happened.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail().message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.detail().source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}
