//! Turns failures of the object store into ours: by what the caller can do, and without secrets.
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors and kinds may grow")]

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::Path;

use object_store::Error as StoreError;

use crate::error::{Error, io_kind, is_full, with_causes};

/// What S3, Google and Azure call a bucket that is not there: no file appears in it by waiting.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// What S3 and its kin say of keys and tokens whose time is over, or of a machine's clock that is not.
const EXPIRED: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];

/// The scrubbed text of a cause.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// Values that must not show, learned from the options of the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrub(Vec<String>);

impl Scrub {
    /// Remembers option values long enough to be told apart from ordinary words.
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        Self(values.filter(|v| v.len() >= 6 && !v.starts_with("http")).map(str::to_owned).collect())
    }

    /// The text without remembered values and without the queries of URLs, which may be signed.
    pub(super) fn text(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("://") {
            let end = rest[at..].find([' ', '"', '\'', ')', '>', ',', '\n']).map_or(rest.len(), |n| at + n);
            let url = &rest[at..end];
            clean.push_str(&rest[..at]);
            clean.push_str(url.split('?').next().unwrap_or(url));
            rest = &rest[end..];
        }
        clean.push_str(rest);
        for value in &self.0 {
            clean = clean.replace(value, "***");
        }
        readable(&clean)
    }
}

/// A text as a terminal may show it: names of files can hold anything.
pub(super) fn readable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { clean.extend(letter.escape_default()) } else { clean.push(letter) }
    }
    clean
}

/// An error of the store while `doing` something with the object at `path`.
pub(super) fn store_error(error: StoreError, scrub: &Scrub, doing: &str, path: &str) -> Error {
    let cause = Cause(scrub.text(&with_causes(&error)));
    let made = match &error {
        _ if code(&cause.0).is_some_and(|code| NO_BUCKET.contains(&code)) => Error::not_found(format!(
            "{doing}: the bucket of {path} does not exist ({}); make it, or name another",
            code(&cause.0).unwrap_or_default()
        ))
        .retryable(false),
        _ if code(&cause.0).is_some_and(|code| EXPIRED.contains(&code)) => Error::storage(format!(
            "{doing}: the credentials for {path} have expired ({}); put new ones where they come from, or let the machine's \
             role or a web identity renew them by itself",
            code(&cause.0).unwrap_or_default()
        ))
        .retryable(false),
        _ if io_kind(&error).is_some_and(is_full) => Error::storage(format!(
            "{doing} {path} failed: {cause}; the disk, a quota or a limit on files is full: make room, then run again"
        )),
        StoreError::NotFound { .. } => Error::not_found(format!("{doing}: {path} is not there")),
        StoreError::PermissionDenied { .. } => {
            let code = code(&cause.0).unwrap_or("access denied");
            Error::storage(format!("{doing}: no permission for {path} ({code}); check the credentials and their rights"))
                .retryable(false)
        }
        StoreError::Unauthenticated { .. } => {
            let code = code(&cause.0).unwrap_or("not authenticated");
            Error::storage(format!("{doing}: the store does not accept the credentials for {path} ({code})"))
                .retryable(false)
        }
        StoreError::UnknownConfigurationKey { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. } => Error::config(format!("{doing} {path}: {cause}")),
        StoreError::InvalidPath { .. } => {
            Error::data(format!("{doing} {path}: {cause}; rename what is there or take it away"))
        }
        // The words of walkdir, which lists folders for the store.
        _ if cause.0.contains("File system loop found") => {
            Error::data(format!("{doing} {path}: {cause}; take the link away"))
        }
        _ => match status(&cause.0) {
            Some(401 | 403) => Error::storage(format!(
                "{doing}: the store refuses {path} ({}); check the credentials and their rights",
                code(&cause.0).unwrap_or("access denied")
            ))
            .retryable(false),
            Some(404) => {
                Error::not_found(format!("{doing}: {path} is not there ({})", code(&cause.0).unwrap_or("not found")))
            }
            _ => Error::storage(format!("{doing} {path} failed: {cause}")).retryable(may_pass(&error, &cause.0)),
        },
    };
    made.with("file", path).because(cause)
}

/// An error of the local file system while `doing` something with `path`.
pub(super) fn file_error(error: io::Error, doing: &str, path: impl fmt::Display) -> Error {
    let made = match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("{doing}: {path} is not there")),
        io::ErrorKind::PermissionDenied => {
            Error::storage(format!("{doing}: no permission for {path}")).retryable(false)
        }
        kind if is_full(kind) => Error::storage(format!(
            "{doing} {path} failed: {error}; the disk, a quota or a limit on files is full: make room, then run again"
        )),
        _ => Error::storage(format!("{doing} {path} failed: {error}")),
    };
    made.with("file", path).because(error)
}

/// An error of the folder for copies.
pub(super) fn spool_error(folder: &Path, error: io::Error) -> Error {
    file_error(error, "spooling to", folder.display())
}

/// Whether a failure the store calls generic may pass: refusals by status or permission do not.
fn may_pass(error: &StoreError, text: &str) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
            return false;
        }
        source = inner.source();
    }
    match status(text) {
        Some(code) => code >= 500 || matches!(code, 408 | 409 | 429),
        None => !text.contains("Received redirect"),
    }
}

/// The HTTP status in the text of a failure that the store calls generic.
fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ").or_else(|| text.split_once("status "))?;
    after.get(..3)?.parse().ok()
}

/// The code that S3 and its kin put into the body: `NoSuchBucket`, `SignatureDoesNotMatch`.
fn code(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("<Code>")?;
    after.split_once("</Code>").map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_signed_queries_do_not_show() {
        let scrub = Scrub::new(["hunter2-secret", "ab", "http://minio:9000"].into_iter());
        let text = scrub.text("get https://a.blob/x?sig=abc&se=1 (key hunter2-secret) at http://minio:9000/raw?x=1");
        assert_eq!(text, "get https://a.blob/x (key ***) at http://minio:9000/raw");
    }

    #[test]
    fn failures_say_whether_a_retry_helps() {
        let scrub = Scrub::default();
        let generic = |text: &str| StoreError::Generic { store: "S3", source: text.into() };
        assert!(store_error(generic("connection refused"), &scrub, "reading", "x").is_retryable());
        assert!(store_error(generic("Server error with status 503"), &scrub, "reading", "x").is_retryable());
        let refused = store_error(generic("Client error with status 400 Bad Request"), &scrub, "reading", "x");
        assert!(!refused.is_retryable() && refused.kind() == "storage");
        let signature =
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code></Error>";
        let signature = store_error(generic(signature), &scrub, "listing", "x");
        assert!(!signature.is_retryable() && signature.to_string().contains("(SignatureDoesNotMatch)"), "{signature}");
        let bucket = "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>";
        let bucket = store_error(generic(bucket), &scrub, "listing", "x");
        assert!(bucket.kind() == "not_found" && !bucket.is_retryable(), "{bucket}");
        let expired = "Server returned non-2xx status code: 400 Bad Request: <Error><Code>ExpiredToken</Code></Error>";
        let expired = store_error(generic(expired), &scrub, "listing", "x");
        assert!(!expired.is_retryable() && expired.to_string().contains("have expired (ExpiredToken)"), "{expired}");
        let full = StoreError::Generic { store: "Local", source: io::Error::from(io::ErrorKind::StorageFull).into() };
        let full = store_error(full, &scrub, "writing", "x");
        assert!(full.is_retryable() && full.to_string().contains("make room"), "{full}");
        let denied = StoreError::PermissionDenied { path: "x".into(), source: "403".into() };
        assert!(!store_error(denied, &scrub, "reading", "x").is_retryable());
        let missing = StoreError::NotFound { path: "x".into(), source: "404".into() };
        assert_eq!(store_error(missing, &scrub, "reading", "x").kind(), "not_found");
    }
}
