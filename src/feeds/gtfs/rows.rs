//! The rows of one file of a feed: columns by name, blanks around values taken off, bad rows set aside.

use std::io::Read;

use super::super::records::Records;
use super::archive::REQUIRED;
use super::reject::{Bad, Tally};
use super::row::{Head, Row, Source};
use crate::control::Cancel;
use crate::error::{Error, Result};

/// Rows between two looks at the caller's wish to stop.
const CHECK_ROWS: u64 = 1 << 14;

/// Reads a file: `each` takes the rows, and says of a bad one why it is.
pub(super) fn read(
    table: &'static Source,
    input: &mut dyn Read,
    tally: &mut Tally,
    cancel: &Cancel,
    each: &mut dyn FnMut(&Row<'_>, &mut Tally) -> std::result::Result<(), Bad>,
) -> Result<()> {
    let mut records = Records::new(table.file, input);
    if !records.next()? {
        // What a feed need not have may be there without a line, as programs write a table of no rows.
        if !REQUIRED.contains(&table.file) {
            tally.begin(table, std::iter::empty());
            return Ok(());
        }
        return Err(
            Error::schema(format!("{} is empty, expected at least its header", table.file)).with("file", table.file)
        );
    }
    let head = Head::new(table, &records)?;
    tally.begin(table, head.unknown(table));
    let mut rows = 0_u64;
    while records.next()? {
        let row = Row::of(&head, &records);
        if row.is_blank() {
            continue;
        }
        rows += 1;
        if rows.is_multiple_of(CHECK_ROWS) {
            cancel.check()?;
        }
        let outcome = if row.is_muddled() { Err(Bad::unreadable()) } else { each(&row, tally) };
        if let Err(bad) = outcome {
            tally.reject(table, &row, bad)?;
        }
    }
    tally.end(table, rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use csv_core::{ReadRecordResult, Reader};
    use proptest::prelude::*;

    use super::*;

    type Lines = Vec<(u64, Vec<Vec<u8>>)>;

    /// Hands out a few bytes at a time, so that records lie across what is read at once.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let size = self.1.min(self.0.len()).min(buffer.len());
            buffer[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn ours(bytes: &[u8], piece: usize) -> Result<Lines> {
        let mut input = Drops(bytes, piece);
        let mut records = Records::new("stops.txt", &mut input);
        let head = Head::default();
        let mut lines = Lines::new();
        while records.next()? {
            let row = Row::of(&head, &records);
            lines.push((row.line, (0..records.ends().len()).map(|place| row.as_written(place).to_vec()).collect()));
        }
        Ok(lines)
    }

    /// The same by the library alone, which unquotes every byte.
    fn unquoted(bytes: &[u8]) -> Lines {
        let (mut reader, mut rest, mut lines) = (Reader::new(), bytes, Lines::new());
        loop {
            let (mut record, mut ends) = (vec![0; bytes.len() + 1], vec![0; bytes.len() + 1]);
            let (mut written, mut fields) = (0, 0);
            let taken = loop {
                let (result, taken, wrote, ended) =
                    reader.read_record(rest, &mut record[written..], &mut ends[fields..]);
                (written, fields) = (written + wrote, fields + ended);
                let end = taken.checked_sub(1).map(|at| rest[at]);
                rest = &rest[taken..];
                match result {
                    ReadRecordResult::Record => break end,
                    ReadRecordResult::InputEmpty => {}
                    _ => return lines,
                }
            };
            let breaks = record[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
            let line = reader.line() - u64::from(taken == Some(b'\n')) - breaks;
            let starts = [0].into_iter().chain(ends.iter().copied());
            let values = starts.zip(&ends[..fields]).map(|(start, end)| record[start..*end].trim_ascii().to_vec());
            lines.push((line, values.collect()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_line_without_quotes_is_read_as_the_library_reads_it(
            bytes in prop::collection::vec(prop::sample::select(&b"ab,,\"\n\n\r +-\xac\xff"[..]), 0..60),
            piece in 1..40_usize,
        ) {
            // Within quotes a further line is none.
            let more = unquoted(&[&bytes[..], b"\nb"].concat());
            let expected = unquoted(&bytes);
            match ours(&bytes, piece) {
                Ok(lines) => prop_assert_eq!((lines, more.len()), (expected.clone(), expected.len() + 1)),
                Err(e) => {
                    prop_assert!(e.to_string().contains("that is never closed"), "{}", e);
                    prop_assert_eq!(more.len(), expected.len());
                }
            }
        }
    }
}
