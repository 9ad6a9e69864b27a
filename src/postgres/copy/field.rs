//! How one column of a batch writes its fields.
//!
//! Rows are written in blocks: every column first measures its fields of the block, so that each row's place is
//! known, then writes them at the rows' cursors. One virtual call serves a block, not a value.

use arrow::array::{
    Array, BinaryViewArray, FixedSizeBinaryArray, GenericByteArray, StringViewArray, types::ByteArrayType,
};
use arrow::buffer::NullBuffer;

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The value lies outside the PostgreSQL type's range or is no such value.
    Range,
    /// The text holds U+0000.
    Nul,
    /// The bytes are no UTF-8.
    NotText,
}

/// A value that cannot be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub row: u32,
    pub why: Why,
}

/// The length word of a NULL.
pub(super) const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// One column of a batch.
pub(super) trait Field: Send {
    /// Adds the bytes of each row's field, length word included, to `sizes`.
    fn measure(&mut self, rows: &[u32], sizes: &mut [usize]) -> Result<(), Fault>;

    /// Writes each row's field at its cursor and moves the cursor behind it; called right after `measure` with
    /// the same rows.
    fn write(&self, rows: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault>;
}

/// The writer of an array; `None` where it cannot be written as that type.
pub(super) type Prepared = Option<Box<dyn Field>>;

fn put(out: &mut [u8], cursor: &mut usize, bytes: &[u8]) {
    out[*cursor..*cursor + bytes.len()].copy_from_slice(bytes);
    *cursor += bytes.len();
}

/// Nulls of an array, absent when there is none.
pub(super) fn nulls(array: &dyn Array) -> Option<NullBuffer> {
    array.nulls().filter(|n| n.null_count() > 0).cloned()
}

/// The same complete field in every row: a constant, or NULL.
pub(super) struct Constant(pub Vec<u8>);

impl Field for Constant {
    fn measure(&mut self, _: &[u32], sizes: &mut [usize]) -> Result<(), Fault> {
        sizes.iter_mut().for_each(|size| *size += self.0.len());
        Ok(())
    }

    fn write(&self, _: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault> {
        cursors.iter_mut().for_each(|cursor| put(out, cursor, &self.0));
        Ok(())
    }
}

/// Values of `W` bytes.
pub(super) struct Fixed<const W: usize, F> {
    pub nulls: Option<NullBuffer>,
    pub get: F,
}

impl<const W: usize, F: Fn(usize) -> Option<[u8; W]> + Send> Fixed<W, F> {
    #[inline(always)]
    fn cell(&self, row: u32, cursor: &mut usize, out: &mut [u8]) -> Result<(), Fault> {
        let value = (self.get)(row as usize).ok_or(Fault { row, why: Why::Range })?;
        let cell = &mut out[*cursor..*cursor + 4 + W];
        cell[..4].copy_from_slice(&(W as i32).to_be_bytes());
        cell[4..].copy_from_slice(&value);
        *cursor += 4 + W;
        Ok(())
    }
}

impl<const W: usize, F: Fn(usize) -> Option<[u8; W]> + Send> Field for Fixed<W, F> {
    fn measure(&mut self, rows: &[u32], sizes: &mut [usize]) -> Result<(), Fault> {
        match &self.nulls {
            None => sizes.iter_mut().for_each(|size| *size += 4 + W),
            Some(nulls) => rows.iter().zip(sizes).for_each(|(&row, size)| {
                *size += 4 + if nulls.is_valid(row as usize) { W } else { 0 };
            }),
        }
        Ok(())
    }

    fn write(&self, rows: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault> {
        for (&row, cursor) in rows.iter().zip(cursors) {
            match &self.nulls {
                Some(nulls) if nulls.is_null(row as usize) => put(out, cursor, &NULL),
                _ => self.cell(row, cursor, out)?,
            }
        }
        Ok(())
    }
}

/// Arrays whose values are byte strings.
pub(super) trait Bytes: Send {
    fn bytes(&self, row: usize) -> &[u8];
}

impl<T: ByteArrayType> Bytes for GenericByteArray<T> {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row).as_ref()
    }
}

impl Bytes for StringViewArray {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row).as_bytes()
    }
}

impl Bytes for BinaryViewArray {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl Bytes for FixedSizeBinaryArray {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

/// What byte strings are checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Nothing,
    /// Text: U+0000.
    Nul,
    /// Bytes that are to be text: UTF-8 without U+0000.
    Utf8,
}

/// Byte strings, checked when they are text.
pub(super) struct Strings<B> {
    pub nulls: Option<NullBuffer>,
    pub values: B,
    /// A byte before the value: the version of jsonb.
    pub prefix: &'static [u8],
    pub check: Check,
}

impl<B: Bytes> Field for Strings<B> {
    fn measure(&mut self, rows: &[u32], sizes: &mut [usize]) -> Result<(), Fault> {
        for (&row, size) in rows.iter().zip(sizes) {
            *size += 4;
            if self.nulls.as_ref().is_none_or(|n| n.is_valid(row as usize)) {
                let value = self.values.bytes(row as usize);
                if self.check != Check::Nothing && value.contains(&0) {
                    return Err(Fault { row, why: Why::Nul });
                }
                if self.check == Check::Utf8 && std::str::from_utf8(value).is_err() {
                    return Err(Fault { row, why: Why::NotText });
                }
                if value.len() >= i32::MAX as usize {
                    return Err(Fault { row, why: Why::Range });
                }
                *size += self.prefix.len() + value.len();
            }
        }
        Ok(())
    }

    fn write(&self, rows: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault> {
        for (&row, cursor) in rows.iter().zip(cursors) {
            if self.nulls.as_ref().is_some_and(|n| n.is_null(row as usize)) {
                put(out, cursor, &NULL);
                continue;
            }
            let value = self.values.bytes(row as usize);
            let start = 4 + self.prefix.len();
            let cell = &mut out[*cursor..*cursor + start + value.len()];
            let length = (self.prefix.len() + value.len()) as i32;
            cell[..4].copy_from_slice(&length.to_be_bytes());
            if start > 4 {
                cell[4..start].copy_from_slice(self.prefix);
            }
            cell[start..].copy_from_slice(value);
            *cursor += cell.len();
        }
        Ok(())
    }
}

/// Values whose bytes are made while they are measured: numerics and arrays.
pub(super) struct Made<F> {
    nulls: Option<NullBuffer>,
    make: F,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<F: FnMut(usize, &mut Vec<u8>) -> Result<(), Why> + Send> Made<F> {
    /// `make` appends a value without its length word.
    pub fn new(nulls: Option<NullBuffer>, make: F) -> Self {
        Self { nulls, make, bytes: Vec::new(), ends: Vec::new() }
    }
}

impl<F: FnMut(usize, &mut Vec<u8>) -> Result<(), Why> + Send> Field for Made<F> {
    fn measure(&mut self, rows: &[u32], sizes: &mut [usize]) -> Result<(), Fault> {
        self.bytes.clear();
        self.ends.clear();
        for (&row, size) in rows.iter().zip(sizes) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&NULL);
            if self.nulls.as_ref().is_none_or(|n| n.is_valid(row as usize)) {
                (self.make)(row as usize, &mut self.bytes).map_err(|why| Fault { row, why })?;
                let length = i32::try_from(self.bytes.len() - start - 4).map_err(|_| Fault { row, why: Why::Range })?;
                self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
            *size += self.bytes.len() - start;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn write(&self, _: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault> {
        let mut start = 0;
        for (&end, cursor) in self.ends.iter().zip(cursors) {
            put(out, cursor, &self.bytes[start..end]);
            start = end;
        }
        Ok(())
    }
}

/// Dictionary values, each made once: a row copies the field of its key.
pub(super) struct Coded<K> {
    keys: K,
    nulls: Option<NullBuffer>,
    bytes: Vec<u8>,
    spans: Vec<Result<(usize, usize), Why>>,
}

impl<K: Fn(usize) -> usize + Send> Coded<K> {
    /// Makes the field of each of `count` dictionary values. A bad value matters only to rows that use it.
    pub fn new(keys: K, nulls: Option<NullBuffer>, values: &mut dyn Field, count: usize) -> Self {
        let mut bytes = NULL.to_vec();
        let mut spans = Vec::with_capacity(count);
        for value in 0..count {
            let start = bytes.len();
            spans.push(append(values, value as u32, &mut bytes).map(|()| (start, bytes.len())));
        }
        Self { keys, nulls, bytes, spans }
    }

    #[inline(always)]
    fn span(&self, row: u32) -> Result<(usize, usize), Fault> {
        if self.nulls.as_ref().is_some_and(|n| n.is_null(row as usize)) {
            return Ok((0, NULL.len()));
        }
        self.spans[(self.keys)(row as usize)].map_err(|why| Fault { row, why })
    }
}

impl<K: Fn(usize) -> usize + Send> Field for Coded<K> {
    fn measure(&mut self, rows: &[u32], sizes: &mut [usize]) -> Result<(), Fault> {
        for (&row, size) in rows.iter().zip(sizes) {
            let (start, end) = self.span(row)?;
            *size += end - start;
        }
        Ok(())
    }

    fn write(&self, rows: &[u32], cursors: &mut [usize], out: &mut [u8]) -> Result<(), Fault> {
        for (&row, cursor) in rows.iter().zip(cursors) {
            let (start, end) = self.span(row)?;
            put(out, cursor, &self.bytes[start..end]);
        }
        Ok(())
    }
}

/// Appends one complete field, length word included; leaves `out` as it was when the value is bad.
pub(super) fn append(field: &mut dyn Field, row: u32, out: &mut Vec<u8>) -> Result<(), Why> {
    let (start, mut size) = (out.len(), [0]);
    field.measure(&[row], &mut size).map_err(|fault| fault.why)?;
    out.resize(start + size[0], 0);
    field.write(&[row], &mut [start], out).map_err(|fault| {
        out.truncate(start);
        fault.why
    })
}
