//! Which hour bucket rows lie in, as their file tells it: times that need not be read for a rollup.

use std::ops::Range;

use crate::error::Result;
use crate::lake::{PageExtremes, ParquetFile, TableReader};
use crate::model::Zone;
use crate::rollup::{HourClock, Spec, hours_between};

/// Each run of rows begins a reader of its own, which has to pass over the pages before it: it spares two pages at least.
const SPARED_PAGES_A_RUN: usize = 2;
const MOST_RUNS: usize = 16;
/// With more pages of several hours the rows are in no order of time, and the headers of other pages tell as little.
const MOST_MIXED_PAGES: usize = 7;

/// Neighbouring rows of a row group, counted from 0.
#[derive(Debug)]
pub(super) struct Run {
    pub rows: Range<u64>,
    /// The bucket that holds all of them, where the file tells.
    pub hour: Option<i64>,
}

/// What the footers tell of the units that a rollup reads.
#[derive(Debug)]
pub(super) struct Hours<'a> {
    spec: &'a Spec,
    units: Vec<Told>,
}

#[derive(Clone, Copy, Debug)]
enum Told {
    /// All rows lie in one bucket.
    Hour(i64),
    /// There may be more than one; pages may tell more.
    Nothing,
    /// The rollup needs the times themselves.
    TimesNeeded,
}

impl<'a> Hours<'a> {
    /// Looks into the footers.
    pub fn told(spec: &'a Spec, reader: &TableReader) -> Result<Self> {
        let of_file = |file: &ParquetFile| -> Result<Vec<Told>> {
            // A time that a folder states as well is read, so that the two can be compared.
            let is_needed =
                !spec.needs_hours_alone() || file.has_folder(&spec.time) || file.lacks().contains(&spec.time);
            if is_needed {
                return Ok(vec![Told::TimesNeeded; file.row_groups()]);
            }
            let hours = hours_of(file, &spec.time, spec.zone)?.into_iter().zip(file.is_complete(&spec.time)?);
            Ok(hours.map(|(hours, is_complete)| single(hours, is_complete).map_or(Told::Nothing, Told::Hour)).collect())
        };
        let told = reader.files().iter().map(of_file).collect::<Result<Vec<_>>>()?;
        Ok(Self { spec, units: reader.numbers().iter().map(|(file, group)| told[*file][*group]).collect() })
    }

    /// The units whose times need not be read at all.
    pub fn without_times(&self) -> impl Iterator<Item = usize> {
        let units = self.units.iter().enumerate();
        units.filter(|(_, told)| matches!(told, Told::Hour(_))).map(|(unit, _)| unit)
    }

    /// The rows of a unit, by what its footer and its pages tell.
    pub fn runs(&self, reader: &TableReader, unit: usize) -> Result<Vec<Run>> {
        let (file, group) = reader.unit(unit);
        let whole = |hour| vec![Run { rows: 0..file.rows(group), hour }];
        match self.units[unit] {
            Told::Hour(hour) => Ok(whole(Some(hour))),
            Told::TimesNeeded => Ok(whole(None)),
            Told::Nothing => Ok(self.runs_of_pages(file, group)?.unwrap_or_else(|| whole(None))),
        }
    }

    /// None where the pages do not tell enough.
    fn runs_of_pages(&self, file: &ParquetFile, group: usize) -> Result<Option<Vec<Run>>> {
        let time = &self.spec.time;
        let Some(pages) = file.pages(group, time) else { return Ok(None) };
        let (mut runs, mut mixed, mut spared) = (Vec::<Run>::new(), 0, 0);
        let (mut clock, mut end) = (HourClock::new(self.spec.zone), 0);
        for PageExtremes { rows, least, greatest, is_complete } in pages {
            let told = hours_between(&mut clock, time, &least, &greatest);
            let told = told.map_err(|e| e.with("file", &file.name))?;
            let hour = single(told.first().copied().flatten(), is_complete);
            let begin = end;
            end += rows;
            match runs.last_mut() {
                Some(run) if run.hour == hour => run.rows.end = end,
                _ => runs.push(Run { rows: begin..end, hour }),
            }
            mixed += usize::from(hour.is_none());
            spared += usize::from(hour.is_some());
            if mixed > MOST_MIXED_PAGES || runs.len() > MOST_RUNS {
                return Ok(None);
            }
        }
        Ok((end == file.rows(group) && spared >= SPARED_PAGES_A_RUN * runs.len()).then_some(runs))
    }
}

/// The first and the last hour bucket of each row group of a file, where its footer tells.
pub(super) fn hours_of(file: &ParquetFile, time: &str, zone: Zone) -> Result<Vec<Option<(i64, i64)>>> {
    let (least, greatest) = file.extremes(time)?;
    hours_between(&mut HourClock::new(zone), time, &least, &greatest).map_err(|e| e.with("file", &file.name))
}

fn single(hours: Option<(i64, i64)>, is_complete: bool) -> Option<i64> {
    hours.filter(|(first, last)| first == last && is_complete).map(|(first, _)| first)
}
