//! Positions on their way past the warehouse: what it must know of them is added up while somebody else takes the rows.
//!
//! Versions of a route begin and end at the starts of days in the service zone, so all positions of one vehicle and route
//! between two of them have the same keys. Rows are grouped by the codes of their dictionaries; texts are looked at once
//! for each dictionary, members once for each group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, DictionaryArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, TimeDelta};
use hashbrown::HashMap;

use super::rows::Seen;
use crate::error::{Error, Result};
use crate::load::columns::{codes, primitive};
use crate::load::{Rows, Unit};
use crate::model::{Clock, Zone};
use crate::rollup::HourClock;
use crate::rollup::mart::PositionHours;
use crate::warehouse::copied::named;
use crate::warehouse::members::Members;
use crate::warehouse::telemetry::{FACT, Known};

/// Columns that name something of the schedule.
const NAMING: [&str; 2] = ["trip_id", "stop_id"];
/// The code of NULL.
const NONE: i32 = -1;

/// Positions with one vehicle, route and day.
#[derive(Clone, Copy, Debug)]
struct Group {
    rows: u64,
    first: i64,
}

impl Group {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.first = self.first.min(other.first);
    }
}

/// The days of an instant: its local date, and the last day that had begun by then. They differ where a midnight comes twice.
type Days = (i32, i32);

/// What some rows of a day show.
#[derive(Default)]
struct Summary {
    service_days: BTreeSet<i32>,
    hours: PositionHours,
    groups: BTreeMap<(Days, String, String), Group>,
    mentions: BTreeMap<(&'static str, String), u64>,
}

impl Summary {
    fn add(&mut self, mut other: Self) -> Result<()> {
        self.service_days.append(&mut other.service_days);
        self.hours.add_hours(&other.hours.rows()?)?;
        for (key, group) in other.groups {
            self.groups.entry(key).and_modify(|known| known.add(group)).or_insert(group);
        }
        for (key, rows) in other.mentions {
            *self.mentions.entry(key).or_default() += rows;
        }
        Ok(())
    }
}

/// Rows that are looked at while somebody else reads them.
pub(super) struct Watched {
    rows: Arc<dyn Rows>,
    zone: Zone,
    seen: Mutex<Summary>,
}

impl Watched {
    pub(super) fn new(rows: Arc<dyn Rows>, zone: Zone) -> Self {
        Self { rows, zone, seen: Mutex::default() }
    }

    /// What the rows showed, with the keys of what they refer to, and how many rows there were; call when all are read.
    /// Blocking: may draw numbers.
    pub(super) fn take_seen(&self, dt: NaiveDate, members: &Members) -> Result<(Seen, u64)> {
        let summary = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut seen = Seen { service_days: summary.service_days, hours: summary.hours, ..Seen::default() };
        let (keys, groups): (Vec<_>, Vec<Group>) = summary.groups.into_iter().unzip();
        let rows: Vec<u64> = groups.iter().map(|group| group.rows).collect();
        let firsts: Vec<i64> = groups.iter().map(|group| group.first).collect();
        let texts = |text: fn(&(Days, String, String)) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(keys.iter().map(text)))
        };
        let (vehicles, routes) = (texts(|key| &key.1), texts(|key| &key.2));
        let epoch = DateTime::UNIX_EPOCH.date_naive();
        let day = (dt - epoch).num_days() as i32;
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("dt", Arc::new(Date32Array::from_value(day, keys.len()))),
            ("local_date", Arc::new(Date32Array::from_iter_values(keys.iter().map(|((local, _), ..)| *local)))),
            ("first_ts", Arc::new(TimestampMicrosecondArray::from(firsts.clone()).with_timezone("UTC"))),
            ("position_cnt", Arc::new(Int64Array::from_iter_values(rows.iter().map(|rows| rows.cast_signed())))),
        ];
        for reference in FACT.references {
            let ids = match reference.raw {
                "vehicle_id" => &vehicles,
                "route_id" => &routes,
                other => return Err(Error::internal(format!("positions are not grouped by {other}"))),
            };
            let misses = seen.misses.entry(reference.member.table()).or_default();
            let found = members.resolve_groups(reference, ids, &firsts, &rows, misses, &mut seen.inferred)?;
            columns.push((reference.raw, Arc::clone(ids)));
            columns.push((reference.surrogate, Arc::new(found)));
        }
        seen.known = Known { references: Some(named(columns)?), mentions: summary.mentions };
        Ok((seen, rows.iter().sum()))
    }
}

impl Rows for Watched {
    fn units(&self) -> usize {
        self.rows.units()
    }

    fn states(&self, column: &str) -> bool {
        self.rows.states(column)
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch, i16) -> Result<()>) -> Result<()> {
        let naming: Vec<&'static str> = NAMING.into_iter().filter(|column| self.rows.states(column)).collect();
        let mut look = Look::new(self.zone, naming);
        self.rows.read(unit, &mut |batch, file_no| {
            look.at(&batch)?;
            sink(batch, file_no)
        })?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(look.finish())
    }
}

/// A look at the rows of one unit.
struct Look {
    clock: Clock,
    hours: HourClock,
    calendar: Calendar,
    naming: Vec<&'static str>,
    /// The dictionaries of vehicles and routes that the codes of `coded` belong to.
    values: Option<[ArrayRef; 2]>,
    coded: HashMap<(Days, [i32; 2]), Group>,
    summary: Summary,
}

impl Look {
    fn new(zone: Zone, naming: Vec<&'static str>) -> Self {
        Self {
            clock: Clock::new(zone),
            hours: HourClock::new(zone),
            calendar: Calendar { zone, starts: BTreeMap::new(), last: None },
            naming,
            values: None,
            coded: HashMap::new(),
            summary: Summary::default(),
        }
    }

    fn at(&mut self, batch: &RecordBatch) -> Result<()> {
        self.summary.hours.add(batch, &mut self.hours)?;
        let (vehicles, routes) = (codes(batch, "vehicle_id")?, codes(batch, "route_id")?);
        let same = self.values.as_ref().is_some_and(|[known_vehicles, known_routes]| {
            Arc::ptr_eq(known_vehicles, vehicles.values()) && Arc::ptr_eq(known_routes, routes.values())
        });
        if !same {
            self.name_groups();
            self.values = Some([Arc::clone(vehicles.values()), Arc::clone(routes.values())]);
        }
        let times = primitive::<TimestampMicrosecondType>(batch, "event_ts")?;
        let mut last_day = None;
        for (row, &at) in times.values().iter().enumerate() {
            let day = self.clock.service_day(at);
            if last_day != Some(day) {
                self.summary.service_days.insert(day);
                last_day = Some(day);
            }
            let local = self.clock.local_day(at);
            let key = (self.calendar.days(local, at), [code(vehicles, row), code(routes, row)]);
            let group = Group { rows: 1, first: at };
            self.coded.entry(key).and_modify(|known| known.add(group)).or_insert(group);
        }
        for &name in &self.naming {
            count_values(name, codes(batch, name)?, &mut self.summary.mentions);
        }
        Ok(())
    }

    /// Gives the groups the texts that their codes stand for.
    fn name_groups(&mut self) {
        let Some([vehicles, routes]) = &self.values else { return };
        let (vehicles, routes) = (vehicles.as_string::<i32>(), routes.as_string::<i32>());
        for ((days, [vehicle, route]), group) in self.coded.drain() {
            let key = (days, text(vehicles, vehicle).to_owned(), text(routes, route).to_owned());
            self.summary.groups.entry(key).and_modify(|known| known.add(group)).or_insert(group);
        }
    }

    fn finish(mut self) -> Summary {
        self.name_groups();
        self.summary
    }
}

/// When the days of a zone begin, asked once for each.
struct Calendar {
    zone: Zone,
    /// By day since the epoch.
    starts: BTreeMap<i32, i64>,
    /// The day asked for last, and the start of the one after it.
    last: Option<(i32, i64)>,
}

impl Calendar {
    fn days(&mut self, local: i32, at: i64) -> Days {
        let next_start = match self.last {
            Some((day, start)) if day == local => start,
            _ => self.next_start(local),
        };
        (local, if at < next_start { local } else { local + 1 })
    }

    fn next_start(&mut self, local: i32) -> i64 {
        let zone = self.zone;
        let start = *self.starts.entry(local + 1).or_insert_with(|| {
            let day = DateTime::UNIX_EPOCH.date_naive() + TimeDelta::days(i64::from(local) + 1);
            zone.day_start_micros(day)
        });
        self.last = Some((local, start));
        start
    }
}

#[inline]
fn code(codes: &DictionaryArray<Int32Type>, row: usize) -> i32 {
    let keys = codes.keys();
    if keys.is_null(row) { NONE } else { keys.value(row) }
}

fn text(values: &StringArray, code: i32) -> &str {
    usize::try_from(code).ok().filter(|&at| values.is_valid(at)).map_or("", |at| values.value(at))
}

fn count_values(
    name: &'static str,
    codes: &DictionaryArray<Int32Type>,
    mentions: &mut BTreeMap<(&'static str, String), u64>,
) {
    let mut rows = vec![0_u64; codes.values().len()];
    codes.keys().iter().flatten().for_each(|code| rows[code as usize] += 1);
    let values = codes.values().as_string::<i32>();
    for (value, rows) in values.iter().zip(rows).filter(|(_, rows)| *rows > 0) {
        let Some(value) = value else { continue };
        *mentions.entry((name, value.to_owned())).or_default() += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<RecordBatch>);

    impl Rows for Fixed {
        fn units(&self) -> usize {
            self.0.len()
        }

        fn states(&self, column: &str) -> bool {
            column != "stop_id"
        }

        fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch, i16) -> Result<()>) -> Result<()> {
            sink(self.0[unit].clone(), 0)
        }
    }

    type Row = (i64, &'static str, Option<&'static str>, Option<&'static str>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let vehicles: DictionaryArray<Int32Type> = rows.iter().map(|row| Some(row.1)).collect();
        let routes: DictionaryArray<Int32Type> = rows.iter().map(|row| row.2).collect();
        let trips: DictionaryArray<Int32Type> = rows.iter().map(|row| row.3).collect();
        let speeds = arrow::array::Float64Array::from(vec![1.0; rows.len()]);
        let columns: [(&str, ArrayRef); 5] = [
            ("event_ts", Arc::new(times)),
            ("vehicle_id", Arc::new(vehicles)),
            ("route_id", Arc::new(routes)),
            ("trip_id", Arc::new(trips)),
            ("speed", Arc::new(speeds)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn watch(zone: &str, batches: Vec<RecordBatch>) -> Summary {
        let rows = Arc::new(Fixed(batches));
        let watched = Watched::new(Arc::<Fixed>::clone(&rows), Zone(zone.parse().unwrap()));
        let mut passed = 0;
        for unit in 0..rows.units() {
            watched
                .read(unit, &mut |batch, _| {
                    passed += batch.num_rows();
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(passed, rows.0.iter().map(RecordBatch::num_rows).sum::<usize>());
        std::mem::take(&mut *watched.seen.lock().unwrap())
    }

    fn micros(text: &str) -> i64 {
        crate::model::epoch_micros(text.parse().unwrap())
    }

    #[test]
    fn rows_of_one_vehicle_route_and_day_are_one_group_whatever_their_codes() {
        let at = |hour: i64| micros("2024-05-01T00:00:00Z") + hour * 3_600_000_000;
        let first =
            batch(&[(at(9), "A", Some("R"), Some("T")), (at(8), "B", None, None), (at(10), "A", Some("R"), None)]);
        let second = batch(&[
            (at(7), "B", Some("Q"), Some("T")),
            (at(8), "A", Some("R"), Some("U")),
            (at(24), "A", Some("R"), None),
        ]);
        let seen = watch("UTC", vec![first, second]);
        let groups: Vec<_> = seen
            .groups
            .iter()
            .map(|((days, v, r), g)| (days.0 - 19_844, v.as_str(), r.as_str(), g.rows, g.first))
            .collect();
        let expected =
            [(0, "A", "R", 3, at(8)), (0, "B", "", 1, at(8)), (0, "B", "Q", 1, at(7)), (1, "A", "R", 1, at(24))];
        assert_eq!(groups, expected);
        assert_eq!(seen.service_days, BTreeSet::from([19_844, 19_845]));
        let mentions: Vec<_> = seen.mentions.iter().map(|((c, v), rows)| (*c, v.as_str(), *rows)).collect();
        assert_eq!(mentions, [("trip_id", "T", 2), ("trip_id", "U", 1)]);
    }

    #[test]
    fn where_a_midnight_comes_twice_positions_before_and_after_it_stay_apart() {
        // St. John's put its clocks back by an hour at a minute past midnight: 2010-11-07 begins at 02:30Z, and at 02:31Z
        // it is the day before once more.
        let before = micros("2010-11-07T02:00:00Z");
        let again = micros("2010-11-07T03:00:00Z");
        let seen = watch("America/St_Johns", vec![batch(&[(before, "A", None, None), (again, "A", None, None)])]);
        let days: Vec<Days> = seen.groups.keys().map(|(days, ..)| (days.0 - 14_919, days.1 - 14_919)).collect();
        assert_eq!(days, [(0, 0), (0, 1)]);
    }
}
