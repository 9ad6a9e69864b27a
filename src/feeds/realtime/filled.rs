//! A column of Arrow that is filled row by row.

use arrow::array::PrimitiveArray;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::ArrowPrimitiveType;

/// A column that is being filled. Neither a value nor its presence is worth a branch.
pub(super) struct Filled<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    /// A bit for each.
    present: Vec<u64>,
    absent: usize,
}

impl<T: ArrowPrimitiveType> Filled<T> {
    /// An empty one, with room for so many rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), present: Vec::with_capacity(rows.div_ceil(64)), absent: 0 }
    }

    /// Adds what `of` says of each row; of all but the last rows a multiple of 64 at once.
    #[inline]
    pub(super) fn add<R>(&mut self, rows: &[R], mut of: impl FnMut(&R) -> Option<T::Native>) {
        debug_assert!(self.values.len().is_multiple_of(64), "rows were added after the last ones");
        for rows in rows.chunks(64) {
            let mut present = 0_u64;
            self.values.extend(rows.iter().enumerate().map(|(at, row)| {
                let value = of(row);
                present |= u64::from(value.is_some()) << at;
                value.unwrap_or_default()
            }));
            self.absent += rows.len() - present.count_ones() as usize;
            self.present.push(present);
        }
    }

    pub(super) fn array(self) -> PrimitiveArray<T> {
        let rows = self.values.len();
        if self.absent == rows {
            return PrimitiveArray::new_null(rows);
        }
        let nulls = || NullBuffer::new(BooleanBuffer::new(self.present.into(), 0, rows));
        PrimitiveArray::new(self.values.into(), (self.absent > 0).then(nulls))
    }
}
