//! Which names are data, which folders are columns, and which folders are tables of another format.
//!
//! One room decides for every reader, local and remote: docs/sources.md says it to users.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::model::Dataset;

/// What Hive writes for a value that is NULL.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a file's name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// It ends in `.parquet`, in any case.
    Parquet,
    /// It has no suffix: Hive and some others write Parquet so.
    NoSuffix,
    /// Another suffix: no data.
    Other,
}

/// A `key=value` folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderValue {
    /// The column.
    pub column: String,
    /// Its value as text; `None` is NULL.
    pub text: Option<String>,
}

/// Whether a part of a path, and all below it, is no data: it begins with `_` or `.`.
pub(super) fn is_hidden(part: &str) -> bool {
    part.starts_with(['_', '.'])
}

/// What a file's name promises.
pub(super) fn promise(file: &str) -> Promise {
    match file.rsplit_once('.') {
        Some((_, suffix)) if suffix.eq_ignore_ascii_case("parquet") => Promise::Parquet,
        Some(_) => Promise::Other,
        None => Promise::NoSuffix,
    }
}

/// The name without `.parquet`.
pub(super) fn stem(name: &str) -> Option<&str> {
    match promise(name) {
        Promise::Parquet => name.rsplit_once('.').map(|(stem, _)| stem),
        Promise::NoSuffix | Promise::Other => None,
    }
}

/// The column that a folder stands for, if its name is `key=value`. Both are percent-decoded, as Hive and Spark encode them.
pub(super) fn folder_value(folder: &str) -> Option<FolderValue> {
    let (column, text) = folder.split_once('=').filter(|(column, _)| !column.is_empty())?;
    let decoded =
        |text: &str| percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), |text| text.into_owned());
    let text = (text != HIVE_NULL).then(|| decoded(text));
    Some(FolderValue { column: decoded(column), text })
}

/// The `key=value` folders of a path, the file's own name left out.
pub(super) fn folder_values(below: &str) -> Vec<FolderValue> {
    let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(folder_value).collect()
}

/// A table of a format that keeps a log of its own: of its files only that log knows which rows are valid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OtherTable {
    /// The table's folder, below the place that was listed.
    pub(super) folder: String,
    /// The format's name.
    pub(super) format: &'static str,
}

/// The folders that the logs of such tables lie in.
pub(super) const TABLE_MARKS: [&str; 3] = ["_delta_log", ".hoodie", "metadata"];

/// The table that a path gives away, if it lies in the log of one.
pub(super) fn other_table(below: &str) -> Option<OtherTable> {
    let parts: Vec<&str> = below.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        let format = match *part {
            "_delta_log" => "Delta Lake",
            ".hoodie" => "Hudi",
            "metadata" if parts.get(index + 1).is_some_and(|name| name.ends_with(".metadata.json")) => "Iceberg",
            hidden if is_hidden(hidden) => return None,
            _ => continue,
        };
        return Some(OtherTable { folder: parts[..index].join("/"), format });
    }
    None
}

impl OtherTable {
    /// Whether a path lies in the table's folder.
    pub(super) fn holds(&self, below: &str) -> bool {
        self.folder.is_empty() || below.strip_prefix(&self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// What a path below a `dt=` folder names.
pub(super) enum FileName {
    /// A file of a dataset.
    Data(Dataset),
    /// A hidden name, or a path that leaves the partition: never read.
    Never,
    /// A file in a folder of a dataset's folder whose name is not `key=value`.
    Nested,
    /// Anything else.
    Unknown,
}

/// Judges a path relative to its `dt=` folder.
pub(super) fn file_name(path: &str) -> FileName {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|s| s.is_empty() || is_hidden(s)) {
        return FileName::Never;
    }
    match segments.as_slice() {
        [file] => match stem(file).map(Dataset::from_str) {
            Some(Ok(dataset)) => FileName::Data(dataset),
            _ => FileName::Unknown,
        },
        [folder, nested @ .., file] => match Dataset::from_str(stem(folder).unwrap_or(folder)) {
            Ok(_) if promise(file) == Promise::Other => FileName::Unknown,
            Ok(dataset) if nested.iter().all(|folder| folder_value(folder).is_some()) => FileName::Data(dataset),
            Ok(_) => FileName::Nested,
            Err(_) => FileName::Unknown,
        },
        [] => FileName::Never,
    }
}

/// A path below the lake as one below its day (`dt=2024-05-01`); another path as it is.
pub(super) fn below_day<'a>(day: &str, path: &'a str) -> &'a str {
    path.strip_prefix(day).and_then(|path| path.strip_prefix('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_promises_data_by_its_suffix_alone() {
        for (name, expected) in [
            ("x.parquet", Promise::Parquet),
            ("X.PARQUET", Promise::Parquet),
            ("part-0.snappy.parquet", Promise::Parquet),
            ("000000_0", Promise::NoSuffix),
            ("x.parquet.crc", Promise::Other),
            ("notes.txt", Promise::Other),
        ] {
            assert_eq!(promise(name), expected, "{name}");
        }
        assert_eq!((stem("Trips.Parquet"), stem("trips")), (Some("Trips"), None));
        for (part, expected) in [("_temporary", true), (".x.crc", true), ("x_", false)] {
            assert_eq!(is_hidden(part), expected, "{part}");
        }
    }

    #[test]
    fn folders_state_columns_with_their_values_decoded() {
        let value =
            |column: &str, text: Option<&str>| FolderValue { column: column.into(), text: text.map(Into::into) };
        assert_eq!(
            folder_values("dt=2024-05-01/plain/ts=08%3A00/c=__HIVE_DEFAULT_PARTITION__/e=/x=1.parquet"),
            [value("dt", Some("2024-05-01")), value("ts", Some("08:00")), value("c", None), value("e", Some(""))]
        );
        assert_eq!(folder_value("=1"), None);
        assert_eq!(folder_value("a=b=c"), Some(value("a", Some("b=c"))));
        assert_eq!(folder_value("a=%FF"), Some(value("a", Some("%FF"))));
    }

    #[test]
    fn the_log_of_another_format_gives_its_table_away() {
        let table = |folder: &str, format| Some(OtherTable { folder: folder.into(), format });
        for (below, expected) in [
            ("_delta_log/00.json", table("", "Delta Lake")),
            ("a/b/_delta_log/00.checkpoint.parquet", table("a/b", "Delta Lake")),
            (".hoodie/hoodie.properties", table("", "Hudi")),
            ("t/metadata/v1.metadata.json", table("t", "Iceberg")),
            ("t/metadata/readme.txt", None),
            ("_old/_delta_log/00.json", None),
            ("data/x.parquet", None),
        ] {
            assert_eq!(other_table(below), expected, "{below}");
        }
        let found = other_table("a/_delta_log/0.json").unwrap();
        assert!(found.holds("a/x.parquet") && !found.holds("ab/x.parquet") && !found.holds("b/x.parquet"));
    }
}
