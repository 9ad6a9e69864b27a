//! Arrays of one dimension: lists, and their text in PostgreSQL's own form.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;

use super::field::{Field, Made, Prepared, Why, append, nulls};
use super::spelled::{self, texts};
use super::types::{Element, PgType};

/// How the writer of an array of values is made: see [`prepare`](super::prepare::prepare).
type Prepare = fn(&ArrayRef, PgType) -> Prepared;

/// The writer of lists, or of their text in PostgreSQL's own form, as an array; `prepare` makes the writers of elements.
pub(super) fn list(array: &ArrayRef, element: Element, prepare: Prepare) -> Prepared {
    match array.data_type() {
        DataType::List(_) => list_of(array.as_list_opt::<i32>()?, element, prepare),
        DataType::LargeList(_) => list_of(array.as_list_opt::<i64>()?, element, prepare),
        _ => in_text(array, element, prepare),
    }
}

fn list_of<O: OffsetSizeTrait>(array: &GenericListArray<O>, element: Element, prepare: Prepare) -> Prepared {
    let offsets = array.offsets().clone();
    // Only the elements of this slice: the child may be far longer.
    let (first, last) = (offsets[0].as_usize(), offsets[array.len()].as_usize());
    let values = array.values().slice(first, last - first);
    let absent = values.logical_nulls().filter(|n| n.null_count() > 0);
    // An array within an array has no form on the wire that a list of lists would mean.
    // Numerics of any size are read as text, so what was read goes into the same column again.
    let spelled = || if *element.pg == PgType::Numeric { spelled::element(&values, PgType::Numeric) } else { None };
    let mut elements = prepare(&values, *element.pg).or_else(spelled)?;
    let make = move |row: usize, out: &mut Vec<u8>| {
        let (start, end) = (offsets[row].as_usize() - first, offsets[row + 1].as_usize() - first);
        let has_null = absent.as_ref().is_some_and(|n| (start..end).any(|at| n.is_null(at)));
        array_of(elements.as_mut(), element.oid, start..end, has_null, out)
    };
    Some(Box::new(Made::new(nulls(array), make)))
}

/// Appends one array: dimensions, null flag, the elements' type, length and lower bound, then the elements.
fn array_of(
    elements: &mut dyn Field,
    oid: u32,
    places: std::ops::Range<usize>,
    has_null: bool,
    out: &mut Vec<u8>,
) -> Result<(), Why> {
    let dimensions = i32::from(!places.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    if dimensions == 1 {
        let count = i32::try_from(places.len()).map_err(|_| Why::Range)?;
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    places.into_iter().try_for_each(|at| append(elements, at as u32, out))
}

/// Arrays that stand in text in PostgreSQL's own form.
fn in_text(array: &ArrayRef, element: Element, prepare: Prepare) -> Prepared {
    let texts = texts(array)?;
    // Every element of every row, so that one writer serves them all.
    let (mut all, mut rows) = (Vec::new(), Vec::with_capacity(texts.len()));
    for row in 0..texts.len() {
        let start = all.len();
        let found = if texts.is_null(row) { Some(Vec::new()) } else { items_of(texts.value(row).trim()) };
        let is_readable = found.is_some();
        all.extend(found.unwrap_or_default());
        rows.push((start..all.len(), is_readable));
    }
    let items = StringArray::from(all);
    let (mut elements, values) = writer(&items, *element.pg, prepare)?;
    let make = move |row: usize, out: &mut Vec<u8>| {
        let (places, is_readable) = rows[row].clone();
        // What could not be made of its text has become NULL.
        let is_whole = places.clone().all(|at| items.is_null(at) || !values.is_null(at));
        if !is_readable || !is_whole {
            return Err(Why::Range);
        }
        let has_null = places.clone().any(|at| items.is_null(at));
        array_of(elements.as_mut(), element.oid, places, has_null, out)
    };
    Some(Box::new(Made::new(nulls(&texts), make)))
}

/// A writer of elements that stand in text, and the values that it writes.
fn writer(items: &StringArray, pg: PgType, prepare: Prepare) -> Option<(Box<dyn Field>, ArrayRef)> {
    let texts: ArrayRef = Arc::new(items.clone());
    if let Some(field) = prepare(&texts, pg).or_else(|| spelled::element(&texts, pg)) {
        return Some((field, texts));
    }
    let arrow = match pg {
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Oid
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::Timestamptz => pg.arrow(),
        _ => return None,
    };
    let values = cast_with_options(&texts, &arrow, &CastOptions { safe: true, ..CastOptions::default() }).ok()?;
    Some((prepare(&values, pg)?, values))
}

/// The elements of `{a,"b \"c\"",NULL}`; `None` for what is no such array, or one of several dimensions.
fn items_of(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let mut characters = inner.trim_start().chars().peekable();
    loop {
        let mut item = String::new();
        let is_quoted = characters.next_if_eq(&'"').is_some();
        loop {
            match characters.peek() {
                None if is_quoted => return None,
                None => break,
                Some('"') if is_quoted => {
                    characters.next();
                    while characters.next_if(|c| c.is_whitespace()).is_some() {}
                    break;
                }
                Some(',') if !is_quoted => break,
                Some('{' | '}' | '"') if !is_quoted => return None,
                Some('\\') => {
                    characters.next();
                    item.push(characters.next()?);
                }
                Some(_) => item.extend(characters.next()),
            }
        }
        let bare = item.trim();
        match (is_quoted, bare) {
            (true, _) => items.push(Some(item)),
            (false, "") => return None,
            (false, bare) if bare.eq_ignore_ascii_case("null") => items.push(None),
            (false, bare) => items.push(Some(bare.to_owned())),
        }
        match characters.next() {
            None => return Some(items),
            Some(',') => while characters.next_if(|c| c.is_whitespace()).is_some() {},
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_in_postgresqls_own_form() {
        let items = |list: &[Option<&str>]| Some(list.iter().map(|item| item.map(str::to_owned)).collect());
        for (text, meant) in [
            ("{}", items(&[])),
            ("{ }", items(&[])),
            ("{1,2}", items(&[Some("1"), Some("2")])),
            (
                r#"{a, "b \"c\", d" ,NULL,"NULL",""}"#,
                items(&[Some("a"), Some("b \"c\", d"), None, Some("NULL"), Some("")]),
            ),
            (r"{a\,b}", items(&[Some("a,b")])),
            ("{a b}", items(&[Some("a b")])),
            ("{{1},{2}}", None),
            ("{1,}", None),
            ("{\"a}", None),
            ("{\"a\"b}", None),
            ("[0:1]={1,2}", None),
            ("1,2", None),
        ] {
            assert_eq!(items_of(text), meant, "{text}");
        }
    }
}
