//! Texts with `${NAME}` in them, filled in anew for each request: a key that is changed is used from the next poll on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A value shorter than this is no secret, and hiding it would make a riddle of messages.
const SHORTEST_HIDDEN: usize = 4;

/// Where values come from: a file of `NAME=value` lines, and the environment for the names that it lacks.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    file: Option<PathBuf>,
}

/// The values of one request.
#[derive(Default)]
pub(super) struct Values {
    of_file: BTreeMap<String, String>,
    used: Vec<String>,
}

impl Secrets {
    /// Values of this file, and of the environment.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Reads the file as it is now.
    pub(super) fn read(&self) -> Result<Values> {
        let of_file = self.file.as_deref().map(lines).transpose()?.unwrap_or_default();
        Ok(Values { of_file, used: Vec::new() })
    }
}

fn lines(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Error::config(format!("the file of secrets {} cannot be read: {e}", file.display())).retryable(true).because(e)
    })?;
    let mut values = BTreeMap::new();
    for (at, line) in
        text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        // What stands there may be a secret, so that only its place is told.
        let (name, value) = line.split_once('=').ok_or_else(|| {
            Error::config(format!("line {} of the file of secrets {} is no NAME=value", at + 1, file.display()))
        })?;
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        values.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(values)
}

impl Values {
    /// The text with each `${NAME}` replaced by its value.
    pub(super) fn fill(&mut self, text: &str) -> Result<String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after
                .split_once('}')
                .ok_or_else(|| Error::config("a ${ of a URL or header is never closed, expected ${NAME}".to_owned()))?;
            let value = self.of_file.get(name).cloned().or_else(|| std::env::var(name).ok()).ok_or_else(|| {
                Error::config(format!("{name} is not set, expected it in the environment or in the file of secrets"))
                    .with("variable", name)
                    .retryable(true)
            })?;
            filled.push_str(before);
            filled.push_str(&value);
            self.used.push(value);
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// A message without the values that were filled in.
    pub(super) fn hide(&self, message: &str) -> String {
        let hidden = self.used.iter().filter(|value| value.len() >= SHORTEST_HIDDEN);
        hidden.fold(message.to_owned(), |text, value| text.replace(value.as_str(), "***"))
    }
}

/// A URL as messages show it: names of variables instead of values, and neither user nor query.
pub(super) fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}
