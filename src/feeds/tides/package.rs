//! `datapackage.json`: what a package consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tables::{TABLE_NAMES, Table};
use crate::error::{Error, Result};

/// The descriptor's name within a package. It is written last and removed first.
pub const DESCRIPTOR: &str = "datapackage.json";
/// Where the standard keeps its profile and schemas.
const SPEC: &str = "https://raw.githubusercontent.com/TIDES-transit/TIDES/main/spec";
/// What a file of a package may be called: nothing that leads out of it.
const FORBIDDEN: [&str; 3] = ["://", "\\", ":"];

/// How a file of a package is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated text.
    #[default]
    Csv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The name, which is also the ending of a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// A file that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its table.
    pub table: Table,
    /// The day of its rows, for tables that have one.
    pub date: Option<chrono::NaiveDate>,
    /// Its name in the package.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
}

/// What a package says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The first day and the one after the last.
    pub days: (chrono::NaiveDate, chrono::NaiveDate),
    /// The agency.
    pub agency: Option<&'a str>,
    /// How its files are written.
    pub format: Format,
    /// A digest of all that decides what is in it.
    pub inputs: &'a str,
    /// Tables that it lacks, and why.
    pub left_out: &'a BTreeMap<String, String>,
}

/// The descriptor of a package of ours.
pub fn describe(about: About<'_>, files: &[Written]) -> Value {
    let (first, end) = about.days;
    let last = end.pred_opt().unwrap_or(end);
    let resources: Vec<Value> = files
        .iter()
        .map(|file| {
            let name = file.path.rsplit_once('.').map_or(file.path.as_str(), |(name, _)| name);
            let table = file.table.name();
            json!({
                "name": name,
                "profile": "tabular-data-resource",
                "tides-table": table,
                "path": file.path,
                "schema": format!("{SPEC}/{table}.schema.json"),
                "format": about.format.name(),
                "mediatype": about.format.media_type(),
                "encoding": "utf-8",
                "bytes": file.bytes,
                "hash": format!("sha256:{}", file.sha256),
                "sources": [{"title": "MetroPulse raw days"}],
            })
        })
        .collect();
    let mut package = json!({
        "profile": format!("{SPEC}/tides-datapackage-profile.json"),
        "name": format!("tides-{first}-{last}"),
        "title": format!("TIDES, {first} to {last}"),
        "metropulse": {"inputs": about.inputs, "left_out": about.left_out},
        "resources": resources,
    });
    if let (Some(agency), Some(fields)) = (about.agency, package.as_object_mut()) {
        fields.insert("agency".into(), agency.into());
    }
    package
}

/// A package of ours that is there already.
#[derive(Clone, Debug)]
pub struct Present {
    /// The digest of all that decided what is in it.
    pub inputs: String,
    /// Its files with their sizes.
    pub files: Vec<(String, u64)>,
    /// Tables that it lacks, and why.
    pub left_out: BTreeMap<String, String>,
}

/// Reads the descriptor of a package that is to be replaced; `None` for one that somebody else made.
pub fn present(text: &[u8]) -> Option<Present> {
    let package: Value = serde_json::from_slice(text).ok()?;
    let inputs = package.pointer("/metropulse/inputs")?.as_str()?.to_owned();
    let file = |resource: &Value| Some((resource.get("path")?.as_str()?.to_owned(), resource.get("bytes")?.as_u64()?));
    let files: Option<Vec<_>> = package.get("resources")?.as_array()?.iter().map(file).collect();
    let files = files?.into_iter().filter(|(path, _)| is_within(path)).collect();
    let left_out = serde_json::from_value(package.pointer("/metropulse/left_out")?.clone()).ok()?;
    Some(Present { inputs, files, left_out })
}

/// Whether a path stays within its package.
fn is_within(path: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_plain) && !FORBIDDEN.iter().any(|text| path.contains(text))
}

/// A descriptor, as far as it is read.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    resources: Vec<Resource>,
}

/// One table's file or files.
#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path: Option<Value>,
    #[serde(default, rename = "tides-table")]
    table: Option<String>,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    dialect: Option<Value>,
    #[serde(default)]
    hash: Option<String>,
}

/// How the rows of a file are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text with this delimiter and this quote.
    Csv {
        /// What stands between values.
        delimiter: u8,
        /// What stands around them.
        quote: u8,
    },
    /// Parquet.
    Parquet,
}

/// A file that is to be read.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its table.
    pub table: Table,
    /// Its path in the package.
    pub path: String,
    /// How it is read.
    pub shape: Shape,
    /// SHA-256, in lower-case hexadecimal digits, where the package says it.
    pub sha256: Option<String>,
}

/// What a package holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The files to read.
    pub files: Vec<Listed>,
    /// Tables that no raw day has a place for, and why.
    pub left_out: Vec<(String, &'static str)>,
}

impl Package {
    /// Reads a descriptor; `source` is what messages call the package.
    ///
    /// # Errors
    /// `Data` for what is no descriptor.
    pub fn parse(text: &[u8], source: &str) -> Result<Self> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        serde_json::from_slice(text).map_err(|e| {
            Error::data(format!("{DESCRIPTOR} of {source} is no data package: {e}; expected an object with resources"))
                .with("file", DESCRIPTOR)
        })
    }

    /// The files to read, and what is left out.
    ///
    /// # Errors
    /// `Schema` for a resource of a table that the standard does not have, a path that leads out of the package, and a file
    /// that is neither CSV in UTF-8 nor Parquet; or when no table is left.
    pub fn contents(&self, source: &str) -> Result<Contents> {
        let mut contents = Contents::default();
        for resource in &self.resources {
            let shown = resource.name.as_deref().unwrap_or("(no name)");
            let told = |e: Error| e.with("file", DESCRIPTOR).with("resource", shown);
            let name = resource.table_name().map_err(told)?;
            match Table::ALL.into_iter().find(|table| table.name() == name) {
                Some(table) => contents.files.extend(resource.files(table).map_err(told)?),
                None => contents.left_out.push((shown.to_owned(), super::tables::why_not(name))),
            }
        }
        if contents.files.is_empty() {
            let expected = Table::ALL.map(Table::name).join(", ");
            return Err(Error::schema(format!(
                "{source} holds no table that raw days have, expected one of {expected}"
            ))
            .with("file", DESCRIPTOR));
        }
        Ok(contents)
    }
}

impl Resource {
    /// The standard's table: by `tides-table`, else by the name of the schema, else by the resource's own.
    fn table_name(&self) -> Result<&'static str> {
        let schema = self.schema.as_ref().and_then(Value::as_str);
        let by_schema =
            schema.and_then(|url| url.rsplit('/').next()).and_then(|file| file.strip_suffix(".schema.json"));
        let named = self.table.as_deref().or(by_schema).or(self.name.as_deref()).unwrap_or_default();
        TABLE_NAMES.into_iter().find(|name| *name == named).ok_or_else(|| {
            Error::schema(format!("the table is {named:?}, expected one of TIDES 1.0: {}", TABLE_NAMES.join(", ")))
        })
    }

    fn files(&self, table: Table) -> Result<Vec<Listed>> {
        let paths: Vec<&str> = match &self.path {
            Some(Value::String(path)) => vec![path],
            Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        if paths.is_empty() {
            return Err(Error::schema("a resource has no path, expected the name of a file in the package"));
        }
        if let Some(other) =
            self.encoding.as_deref().filter(|name| !["utf-8", "utf8"].contains(&name.to_lowercase().as_str()))
        {
            return Err(Error::schema(format!("the encoding is {other:?}, expected utf-8")));
        }
        let digest = self.hash.as_deref().and_then(|hash| hash.split_once(':'));
        let sha256 = digest.filter(|(kind, _)| kind.eq_ignore_ascii_case("sha256")).map(|(_, hex)| hex.to_lowercase());
        // A digest of several files is of none of them.
        let sha256 = sha256.filter(|_| paths.len() == 1);
        let listed = |path: &&str| {
            if !is_within(path) {
                return Err(Error::schema(format!("the path is {path:?}, expected one below the package's folder")));
            }
            Ok(Listed { table, path: (*path).to_owned(), shape: self.shape(path)?, sha256: sha256.clone() })
        };
        paths.iter().map(listed).collect()
    }

    fn shape(&self, path: &str) -> Result<Shape> {
        let ending = path.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
        match self.format.as_deref().unwrap_or(ending).to_lowercase().as_str() {
            "csv" => self.dialect(),
            "parquet" => Ok(Shape::Parquet),
            other => Err(Error::schema(format!("{path} is of format {other:?}, expected csv or parquet"))),
        }
    }

    fn dialect(&self) -> Result<Shape> {
        let dialect = self.dialect.as_ref();
        let given = |name: &str| {
            let nested = dialect.and_then(|dialect| dialect.get("csv")).and_then(|csv| csv.get(name));
            dialect.and_then(|dialect| dialect.get(name)).or(nested)
        };
        let unsupported = [
            ("header", Value::Bool(false)),
            ("doubleQuote", Value::Bool(false)),
            ("skipInitialSpace", Value::Bool(true)),
        ];
        let wrong = unsupported.iter().find(|(name, value)| given(name) == Some(value)).map(|(name, _)| *name);
        let wrong = wrong.or_else(|| ["escapeChar", "commentChar"].into_iter().find(|name| given(name).is_some()));
        let is_elsewhere = dialect.is_some_and(|dialect| !dialect.is_object());
        if let Some(wrong) = wrong.or(is_elsewhere.then_some("a dialect in another file")) {
            return Err(Error::schema(format!(
                "the dialect has {wrong}, which is not read; expected a header, quotes doubled within quotes"
            )));
        }
        let byte = |name: &str, usual: u8| match given(name).map(|value| value.as_str().map(str::as_bytes)) {
            None => Ok(usual),
            Some(Some(&[byte])) => Ok(byte),
            Some(_) => Err(Error::schema(format!("{name} of the dialect is no single ASCII character"))),
        };
        Ok(Shape::Csv { delimiter: byte("delimiter", b',')?, quote: byte("quoteChar", b'"')? })
    }
}
