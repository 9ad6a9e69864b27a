//! Rejected rows that are kept from judging on, so that nobody reads them again, as far as there is room.

use std::collections::BTreeMap;

use crate::clean::Reject;
use crate::load::Unit;

/// The units that have rejected rows, with these rows where there was room for them.
pub(super) type RejectingUnits = Vec<(Unit, Option<Vec<Reject>>)>;

/// Rejected rows by unit. A unit is kept whole or not at all.
#[derive(Debug)]
pub(super) struct KeptRejects {
    units: BTreeMap<Unit, Option<Vec<Reject>>>,
    /// How much more is kept.
    room_bytes: u64,
}

impl KeptRejects {
    /// Nothing yet, and room for so much.
    pub(super) fn within(room_bytes: u64) -> Self {
        Self { units: BTreeMap::new(), room_bytes }
    }

    /// Keeps more rejects of a unit while there is room.
    pub(super) fn keep(&mut self, unit: Unit, rejects: &[Reject]) {
        let of_unit = self.units.entry(unit).or_insert_with(|| Some(Vec::new()));
        let Some(kept) = of_unit else { return };
        match self.room_bytes.checked_sub(bytes(rejects)) {
            Some(left) => {
                self.room_bytes = left;
                kept.extend_from_slice(rejects);
            }
            None => {
                self.room_bytes += bytes(kept);
                *of_unit = None;
            }
        }
    }

    /// In the order of the units.
    pub(super) fn into_units(self) -> RejectingUnits {
        self.units.into_iter().collect()
    }
}

fn bytes(rejects: &[Reject]) -> u64 {
    rejects.iter().map(|reject| (size_of::<Reject>() + reject.row_json.len()) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(row_number: u64) -> Reject {
        Reject { row_number, reasons: Vec::new(), row_json: "{}".into(), key: None }
    }

    /// Row numbers of each unit, None where they were given up.
    fn kept(rejects: KeptRejects) -> Vec<(Unit, Option<Vec<u64>>)> {
        let numbers = |rows: Vec<Reject>| rows.iter().map(|row| row.row_number).collect();
        rejects.into_units().into_iter().map(|(unit, rows)| (unit, rows.map(numbers))).collect()
    }

    #[test]
    fn a_unit_that_outgrows_the_room_is_given_up_and_leaves_its_room_to_others() {
        let mut rejects = KeptRejects::within(3 * bytes(&[reject(1)]));
        rejects.keep(7, &[reject(1)]);
        rejects.keep(2, &[reject(2), reject(3)]);
        rejects.keep(7, &[reject(4)]);
        rejects.keep(9, &[reject(5)]);
        rejects.keep(7, &[reject(6)]);
        assert_eq!(kept(rejects), [(2, Some(vec![2, 3])), (7, None), (9, Some(vec![5]))]);
    }

    #[test]
    fn batches_of_a_unit_add_up_in_their_order() {
        let mut rejects = KeptRejects::within(u64::MAX);
        rejects.keep(1, &[reject(3)]);
        rejects.keep(0, &[reject(8)]);
        rejects.keep(1, &[reject(4), reject(5)]);
        assert_eq!(kept(rejects), [(0, Some(vec![8])), (1, Some(vec![3, 4, 5]))]);
    }
}
