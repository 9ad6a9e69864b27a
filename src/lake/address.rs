//! What the name of a place means: one rule for each form, for all who read or write.
//!
//! | form | rule |
//! |---|---|
//! | `data/x.parquet` | a path of this machine, letter by letter |
//! | `file:///data/a%20b.parquet` | a path of this machine, percent-decoded |
//! | `s3://`, `gs://`, `az://` and their kin | after the bucket a key, letter by letter: `%`, `#` and `?` are letters |
//! | `https://` of an object store's own host | a URL: percent-decoded, without query |
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors and kinds may grow")]

use std::path::{Path as FilePath, PathBuf};

use glob::Pattern;
use object_store::ObjectStoreScheme;
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::file_error;
use crate::error::{Error, Result};

/// What a URL of a lake, or of what is often taken for one, begins with.
const SCHEMES: [&str; 11] = ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https", "file"];

/// The path of a name that points to this machine; `what` is what messages call it.
///
/// # Errors
/// `Config` for a malformed name.
pub fn local_path(what: &str, name: &str) -> Result<Option<PathBuf>> {
    Ok(match Address::parse(what, name)? {
        Address::Local { path, .. } => Some(path),
        Address::Remote { .. } => None,
    })
}

/// A place by a name that means the same to every process: a relative path is one of this process alone.
///
/// # Errors
/// `Config` for a malformed name.
pub fn absolute_place(what: &str, name: &str) -> Result<String> {
    match Address::parse(what, name)? {
        Address::Local { path, .. } if path.is_relative() => absolute(&path),
        Address::Local { .. } | Address::Remote { .. } => Ok(name.to_owned()),
    }
}

/// A path of this machine, whatever folder a process works in.
pub(super) fn absolute(path: &FilePath) -> Result<String> {
    let absolute = std::path::absolute(path).map_err(|e| file_error(e, "finding", path.display()))?;
    Ok(absolute.display().to_string())
}

/// Where a name points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A place of this machine.
    Local {
        path: PathBuf,
        /// The same as a glob: what was encoded in a URL is no wildcard.
        pattern: String,
    },
    /// A place in an object store.
    Remote {
        /// The bucket.
        bucket: Url,
        scheme: ObjectStoreScheme,
        /// The key, without slashes around it; it may hold wildcards.
        key: String,
    },
}

impl Address {
    /// Reads a name; `what` is what messages call it.
    ///
    /// # Errors
    /// `Config` for a malformed name. What may be a secret is not shown.
    pub(super) fn parse(what: &str, name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::config(format!("{what} is empty, expected a folder or a URL such as s3://raw")));
        }
        let Some((scheme, rest)) = name.split_once("://") else {
            refuse_slashless(what, name)?;
            return Ok(Self::Local { path: PathBuf::from(name), pattern: name.to_owned() });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => file_url(what, rest),
            "http" | "https" => url_of_a_store(what, name),
            _ => key_of_a_bucket(what, name, rest),
        }
    }

    /// The address without secrets.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Local { path, .. } => path.display().to_string(),
            Self::Remote { key, .. } => format!("{}/{key}", self.shown_bucket()).trim_end_matches('/').to_owned(),
        }
    }

    /// What stands before a key in the names of objects, without secrets and without a slash at its end.
    pub(super) fn shown_bucket(&self) -> String {
        match self {
            Self::Local { path, .. } => path.display().to_string(),
            Self::Remote { bucket, key, .. } => {
                // The URL of a store's host goes on with the key; that of a bucket ends there.
                let shown = percent_decode_str(&shown(bucket)).decode_utf8_lossy().into_owned();
                let keyless = shown.strip_suffix(key.as_str()).filter(|_| bucket.scheme().starts_with("http"));
                keyless.unwrap_or(&shown).trim_end_matches('/').to_owned()
            }
        }
    }
}

fn file_url(what: &str, rest: &str) -> Result<Address> {
    let path = rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(Error::config(format!(
            "{what} is a file:// URL without an absolute path, expected file:///folder"
        )));
    }
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        decoded.map_err(|_| {
            Error::config(format!("{what} is a file:// URL whose %-codes are no UTF-8; give the plain path instead"))
        })
    };
    let mut pattern = String::new();
    let mut plain = path;
    while let Some(at) = plain.find(['*', '?', '[', ']']) {
        pattern.push_str(&Pattern::escape(&decode(&plain[..at])?));
        pattern.push_str(&plain[at..=at]);
        plain = &plain[at + 1..];
    }
    pattern.push_str(&Pattern::escape(&decode(plain)?));
    Ok(Address::Local { path: PathBuf::from(decode(path)?), pattern })
}

fn url_of_a_store(what: &str, name: &str) -> Result<Address> {
    let url = Url::parse(name).map_err(|e| Error::config(format!("{what} is no URL: {e}")))?;
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|_| unknown(what, &url))?;
    if matches!(scheme, ObjectStoreScheme::Http) {
        return Err(unknown(what, &url));
    }
    Ok(Address::Remote { bucket: url, scheme, key: path.as_ref().to_owned() })
}

fn key_of_a_bucket(what: &str, name: &str, rest: &str) -> Result<Address> {
    let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
    let before = &name[..name.len() - rest.len()];
    let bucket =
        Url::parse(&format!("{before}{authority}/")).map_err(|e| Error::config(format!("{what} is no URL: {e}")))?;
    let (scheme, path) = ObjectStoreScheme::parse(&bucket).map_err(|_| unknown(what, &bucket))?;
    let is_plain = path.is_root() && bucket.query().is_none() && bucket.fragment().is_none();
    let key = key.trim_end_matches('/');
    if !is_plain || key.split('/').any(str::is_empty) && !key.is_empty() {
        return Err(Error::config(format!(
            "{what} {:?} has a part without a name, which no key of an object store can have here, expected \
             {before}bucket/folder/name",
            shown(&bucket)
        )));
    }
    Ok(Address::Remote { bucket, scheme, key: key.to_owned() })
}

fn unknown(what: &str, url: &Url) -> Error {
    Error::config(format!("{what} is {:?}, expected a folder, file://, s3://, gs:// or az:// URL", shown(url)))
}

/// A key as the object store takes it.
pub(super) fn location(what: &str, key: &str) -> Result<Path> {
    Path::parse(key).map_err(|e| Error::config(format!("{what} has a name that no object can have: {e}")))
}

/// Refuses a URL that would be taken for a folder for want of its slashes. What follows may be a password, and is not shown.
fn refuse_slashless(what: &str, name: &str) -> Result<()> {
    match name.split_once(':') {
        Some((scheme, rest)) if SCHEMES.contains(&scheme) && !rest.starts_with("//") => Err(Error::config(format!(
            "{what} begins with {scheme}: and lacks the slashes of a URL, expected {scheme}://... \
             (a path that begins so is ./{scheme}:...)"
        ))),
        _ => Ok(()),
    }
}

/// A bucket's or a store's URL without secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    // A URL that cannot have a user keeps none.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_query(None);
    plain.set_fragment(None);
    plain.to_string().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(name: &str) -> (String, String) {
        match Address::parse("source", name).unwrap() {
            Address::Local { path, pattern } => (path.display().to_string(), pattern),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn key(name: &str) -> (String, String) {
        match Address::parse("source", name).unwrap() {
            Address::Remote { bucket, key, .. } => (shown(&bucket), key),
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn a_relative_path_is_made_absolute_and_nothing_else_is_changed() {
        let here = std::env::current_dir().unwrap();
        for (name, wanted) in [("raw", "raw"), ("./my:raw/x", "my:raw/x")] {
            assert_eq!(absolute_place("lake", name).unwrap(), here.join(wanted).display().to_string());
        }
        for name in ["/raw", "file:///a%20b", "s3://raw/x", "az://me@raw/x"] {
            assert_eq!(absolute_place("lake", name).unwrap(), name);
        }
        assert_eq!(absolute_place("lake", "s3:raw").unwrap_err().kind(), "config");
    }

    #[test]
    fn each_form_has_one_meaning() {
        assert_eq!(local("a%20b/x#1?.parquet").0, "a%20b/x#1?.parquet");
        assert_eq!(
            local("file:///a%20b/%5Bx%5D*.parquet"),
            ("/a b/[x]*.parquet".into(), "/a b/[[]x[]]*.parquet".into())
        );
        assert_eq!(local("file://localhost/a").0, "/a");
        let s3 = |key: &str| ("s3://raw".to_owned(), key.to_owned());
        assert_eq!(key("s3://raw/report%2024.parquet"), s3("report%2024.parquet"));
        assert_eq!(key("s3://raw/Brand#21/ts=08%3A00/a?b.parquet"), s3("Brand#21/ts=08%3A00/a?b.parquet"));
        assert_eq!(key("s3://raw/city/"), s3("city"));
        assert_eq!(key("s3://raw"), s3(""));
        let (_, blob) = key("https://account.blob.core.windows.net/raw/a%20b.parquet?sig=secret");
        assert_eq!(blob, "a b.parquet");
        assert_eq!(key("abfss://raw@account.dfs.core.windows.net/a%20b").1, "a%20b");
        for name in
            ["", "s3:raw", "file://relative/x", "ftp://x/y", "https://example.org/x", "s3://raw//a", "s3://raw/a//b"]
        {
            assert_eq!(Address::parse("source", name).unwrap_err().kind(), "config", "{name}");
        }
    }
}
