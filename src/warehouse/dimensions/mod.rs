//! Dimensions: a day's snapshot against what every loaded day said, applied in one publication.
//!
//! The truth is the log (`dwh.dim_*_said`); the dimension's rows are derived from it. Loading a day finds in SQL the
//! keys of which it says something new (`affected`), works out their versions in the pure room `history`, a bounded
//! number of keys at a time, and writes the differences. Keys that nothing changed for are never read.

mod apply;
mod load;
mod planning;
mod sheet;

pub(super) use load::dimension_fingerprint;
pub(super) use load::take_out;
pub use load::{DimensionLoad, DimensionLoaded, load_dimension, unchanged_dimension};

use crate::history::{ActiveWindow, Columns, Rules};
use crate::model::{Absent, Column, Dimension, Kind};

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

    /// How many values a version has.
    pub(super) fn width(&self) -> usize {
        self.declared().len() + usize::from(self.active().is_some())
    }

    pub(super) fn rules(&self, absent: Absent) -> Rules {
        let mask = |names: &[&str]| -> Columns {
            let positions = self.declared().iter().enumerate().filter(|(_, c)| names.contains(&c.name));
            positions.map(|(index, _)| index).collect()
        };
        Rules {
            columns: self.width(),
            absent,
            tracked: mask(self.dimension.tracked),
            overwritten: mask(self.dimension.overwritten),
            active: self.active(),
            type2: self.dimension.interval.is_some(),
        }
    }

    /// The columns of the dimension that versions fill: name, kind, position among the values.
    pub(super) fn filled(&self) -> Vec<(&'static str, Kind, usize)> {
        let mut list: Vec<_> = self
            .declared()
            .iter()
            .enumerate()
            .filter(|(_, c)| self.dimension.tracked.contains(&c.name) || self.dimension.overwritten.contains(&c.name))
            .map(|(index, c)| (c.name, c.kind, index))
            .collect();
        if let Some(window) = self.active() {
            list.push(("active_flag", Kind::Boolean, window.flag_column));
        }
        list
    }

    /// A condition on the log for keys whose flag may flip on any loaded day; `None` without a flag.
    pub(super) fn may_flip(&self) -> Option<String> {
        // SQL arrays count from 1.
        self.active()
            .map(|w| format!("said[{}] IS NOT NULL OR said[{}] IS NOT NULL", w.from_column + 1, w.to_column + 1))
    }

    /// The table of what each loaded day said.
    pub(super) fn log(&self) -> String {
        format!("{}_said", self.dimension.table)
    }
}
