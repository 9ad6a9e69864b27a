//! Dimensions: a day's snapshot against what every loaded day said, applied in one publication.
//!
//! A dimension is a table with history as `postgres::history` knows it, under fixed rules. What only it has: the whole log is
//! kept (`dwh.dim_*_said`) and is the truth from which the rows are derived, mentions, inferred members, and facts that
//! follow. Loading a day streams the log of that day past the snapshot; of keys that it says nothing new of nothing more is
//! read.

mod compare;
mod day;
mod load;
mod values;
mod work;

pub(super) use load::dimension_fingerprint;
pub(super) use load::take_out;
pub use load::{DimensionLoad, DimensionLoaded, load_dimension, unchanged_dimension};

use crate::history::{ActiveWindow, Columns, Rules};
use crate::model::{Absent, Column, Dimension, Kind, Zone};
use crate::postgres::copy::PgType;
use crate::postgres::history::{Item, Log, LogForm, Table, wire};

/// A dimension's declaration in the terms of the history room and of SQL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) dimension: Dimension,
}

impl Shape {
    /// Columns that a snapshot states.
    pub(super) fn declared(&self) -> &'static [Column] {
        self.dimension.columns()
    }

    /// The flag that follows from the two bounds, for routes.
    fn active(&self) -> Option<ActiveWindow> {
        let index = |name: &str| self.declared().iter().position(|c| c.name == name);
        Some(ActiveWindow {
            from_column: index("active_from")?,
            to_column: index("active_to")?,
            flag_column: self.declared().len(),
        })
    }

    /// The kinds of the values of a version: the declared columns, and the flag if there is one.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let declared = self.declared().iter().map(|column| column.kind);
        declared.chain(self.active().map(|_| Kind::Boolean)).collect()
    }

    pub(super) fn rules(&self, absent: Absent) -> Rules {
        let mask = |names: &[&str]| -> Columns {
            let positions = self.declared().iter().enumerate().filter(|(_, c)| names.contains(&c.name));
            positions.map(|(index, _)| index).collect()
        };
        Rules {
            columns: self.kinds().len(),
            absent,
            tracked: mask(self.dimension.tracked),
            overwritten: mask(self.dimension.overwritten),
            active: self.active(),
            type2: self.dimension.interval.is_some(),
        }
    }

    /// The dimension as a table with history, for one load.
    pub(super) fn table(&self, zone: Zone, load_id: &str) -> Table {
        let dimension = self.dimension;
        let is_filled = |name: &str| dimension.tracked.contains(&name) || dimension.overwritten.contains(&name);
        let declared = self.declared().iter().map(|column| (column.name, column.kind, is_filled(column.name), true));
        let flag = self.active().map(|_| ("active_flag", Kind::Boolean, true, false));
        let items = declared.chain(flag).enumerate().map(|(i, (name, kind, is_shown, is_logged))| {
            let (read, read_type) = values::read(kind, &format!("m.{name}"));
            let write = kind.from_canonical(&format!("s.a{i}"));
            let (name, read_type, sheet_type) = (name.to_owned(), read_type.to_owned(), "text".to_owned());
            Item { name, sheet_type, read, read_type, write, is_shown, is_logged }
        });
        let (name, sql_type) = (dimension.dataset.key().to_owned(), "text".to_owned());
        Table {
            name: dimension.table.to_owned(),
            surrogate: dimension.surrogate.to_owned(),
            keys: vec![wire::Column { name, kind: PgType::Text, sql_type }],
            items: items.collect(),
            bounds: dimension.interval.map(|(from, to)| (from.to_owned(), to.to_owned())),
            stamps: vec![("is_inferred".into(), "false".into()), ("load_id".into(), format!("'{load_id}'"))],
            inferred: Some("is_inferred".to_owned()),
            log: Log { name: format!("{}_said", dimension.table), form: LogForm::Days(zone) },
        }
    }

    /// A condition on a row `m` of the log for keys whose flag may flip on any loaded day; `None` without a flag.
    fn may_flip(&self) -> Option<String> {
        let name = |index: usize| self.declared()[index].name;
        self.active().map(|window| {
            format!("m.{} IS NOT NULL OR m.{} IS NOT NULL", name(window.from_column), name(window.to_column))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::DDL;

    #[test]
    fn a_log_has_a_column_for_each_column_of_the_files_and_a_dimension_writes_what_it_declares() {
        for dimension in Dimension::ALL {
            let shape = Shape { dimension };
            let table = shape.table(Zone(chrono_tz::UTC), "batch_2024-05-01");
            let said: Vec<String> =
                shape.declared().iter().map(|column| format!("{} {}", column.name, column.kind.sql())).collect();
            let (log, key) = (&table.log.name, dimension.dataset.key());
            let declaration = DDL.split_once(&format!("CREATE TABLE IF NOT EXISTS {log} (\n    {key} text NOT NULL"));
            let (declared, _) = declaration.unwrap().1.split_once(';').unwrap();
            assert!(
                declared.contains(&format!("{},\n    PRIMARY KEY ({key}, from_dt)", said.join(", "))),
                "{declared}"
            );
            assert_eq!(table.logged().count(), said.len(), "{log}");
            assert_eq!(table.items.len(), shape.kinds().len(), "{log}");
            let shown: Vec<&str> = table.items.iter().filter(|item| item.is_shown).map(|item| &*item.name).collect();
            let expected = shape.declared().iter().map(|column| column.name);
            let expected =
                expected.filter(|name| dimension.tracked.contains(name) || dimension.overwritten.contains(name));
            let flag = shown.iter().copied().filter(|name| *name == "active_flag");
            assert_eq!(shown, expected.chain(flag).collect::<Vec<_>>(), "{log}");
        }
    }
}
