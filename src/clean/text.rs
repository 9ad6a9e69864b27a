//! Text and codes.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Int32Type};

use super::converted::{Converted, cast_to, is_binary, is_string, unexpected};
use crate::error::Result;
use crate::model::Kind;

/// Text as it came; whole numbers by their digits, bytes if they are UTF-8. U+0000 is unreadable.
pub(super) fn to_text(array: &ArrayRef) -> Result<Converted> {
    let physical = array.data_type();
    if is_binary(physical) {
        return from_bytes(array);
    }
    let dictionary = matches!(physical, DataType::Dictionary(_, _));
    if !is_string(physical) && !physical.is_integer() && !dictionary {
        return Err(unexpected(array, Kind::Text));
    }
    let text = if physical == &DataType::Utf8 { array.clone() } else { cast_to(array, &DataType::Utf8)? };
    without_nul(text)
}

/// Text as a dictionary with 32-bit keys, whose values hold no NULL.
pub(super) fn to_code(array: &ArrayRef) -> Result<Converted> {
    let code = Kind::Code.arrow();
    if array.data_type() == &code {
        let codes = array.as_dictionary::<Int32Type>();
        let values = codes.values().as_string::<i32>();
        if values.null_count() == 0 && !holds_nul(values) {
            return Ok(Converted::plain(array.clone()));
        }
        if let Some(converted) = codes_without_nul(codes, values)? {
            return Ok(converted);
        }
    }
    let plain = to_text(array)?;
    Ok(Converted { array: cast_to(&plain.array, &code)?, ..plain })
}

/// Makes codes of values with U+0000 unreadable without unpacking; `None` where values are NULL.
fn codes_without_nul(codes: &DictionaryArray<Int32Type>, values: &StringArray) -> Result<Option<Converted>> {
    if values.null_count() > 0 {
        return Ok(None);
    }
    let bad: Vec<bool> = values.iter().map(|v| v.is_some_and(|v| v.contains('\0'))).collect();
    let keys = codes.keys();
    let is_bad = |i: usize| {
        keys.is_valid(i) && usize::try_from(keys.value(i)).ok().and_then(|k| bad.get(k)).copied().unwrap_or(false)
    };
    let unreadable: Vec<u32> = (0..keys.len()).filter(|i| is_bad(*i)).map(|i| i as u32).collect();
    let kept: PrimitiveArray<Int32Type> =
        (0..keys.len()).map(|i| (keys.is_valid(i) && !is_bad(i)).then(|| keys.value(i))).collect();
    let array = DictionaryArray::try_new(kept, codes.values().clone())
        .map_err(|e| crate::error::Error::internal(format!("codes cannot be rebuilt: {e}")))?;
    Ok(Some(Converted { unreadable, ..Converted::plain(Arc::new(array)) }))
}

fn holds_nul(text: &StringArray) -> bool {
    let offsets = text.value_offsets();
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return false };
    text.value_data().get(*first as usize..*last as usize).is_some_and(|bytes| bytes.contains(&0))
}

fn without_nul(array: ArrayRef) -> Result<Converted> {
    let text = array.as_string::<i32>();
    if !holds_nul(text) {
        return Ok(Converted::plain(array));
    }
    let bad: BooleanArray = (0..text.len()).map(|i| Some(text.is_valid(i) && text.value(i).contains('\0'))).collect();
    let unreadable: Vec<u32> = bad.values().set_indices().map(|i| i as u32).collect();
    let kept =
        nullif(&array, &bad).map_err(|e| crate::error::Error::internal(format!("text cannot be rebuilt: {e}")))?;
    Ok(Converted { unreadable, ..Converted::plain(kept) })
}

fn from_bytes(array: &ArrayRef) -> Result<Converted> {
    let bytes = cast_to(array, &DataType::LargeBinary)?;
    if let Ok(text) = cast(&bytes, &DataType::Utf8)
        && text.null_count() == array.null_count()
    {
        return without_nul(text);
    }
    let bytes = bytes.as_binary::<i64>();
    let mut text = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    let mut unreadable = Vec::new();
    for (i, value) in bytes.iter().enumerate() {
        let read = value.map(|v| std::str::from_utf8(v).ok().filter(|t| !t.contains('\0')));
        if read == Some(None) {
            unreadable.push(i as u32);
        }
        text.append_option(read.flatten());
    }
    Ok(Converted { unreadable, ..Converted::plain(Arc::new(text.finish())) })
}
