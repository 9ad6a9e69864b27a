//! Sets of a table's columns.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};

const WORD_BITS: usize = u64::BITS as usize;

/// A set of columns, by their position among the declared ones.
///
/// The first 64 stand in a word, so that the sets of usual tables are copied and compared as a number is; more of them are
/// shared. Its text is a digit for each column up to the last one in the set: `1101` holds the columns 0, 1 and 3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Columns {
    first: u64,
    /// The words after the first; the last of them is not 0, so that equal sets are equal.
    rest: Option<Arc<[u64]>>,
}

impl Columns {
    /// The first `count` columns.
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    /// Whether the set holds a column.
    pub fn holds(&self, index: usize) -> bool {
        self.word(index / WORD_BITS) >> (index % WORD_BITS) & 1 == 1
    }

    /// Whether the set holds none.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.rest.is_none()
    }

    /// Whether every column of this set is in another one.
    pub fn is_within(&self, other: &Self) -> bool {
        (0..self.words()).all(|place| self.word(place) & !other.word(place) == 0)
    }

    /// The columns of either set.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self::of_words((0..self.words().max(other.words())).map(|place| self.word(place) | other.word(place)))
    }

    /// The columns of both sets.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        Self::of_words((0..self.words()).map(|place| self.word(place) & other.word(place)))
    }

    /// The set after a column was taken out of the declared ones: those behind it move up.
    #[must_use]
    pub fn without(&self, gone: usize) -> Self {
        let kept = (0..self.digits()).filter(|&index| index != gone && self.holds(index));
        kept.map(|index| if index > gone { index - 1 } else { index }).collect()
    }

    /// The set as words of 64 columns, the lowest bit first. Words after the last one are 0.
    pub(crate) fn word(&self, place: usize) -> u64 {
        match place.checked_sub(1) {
            None => self.first,
            Some(place) => self.rest.as_ref().and_then(|rest| rest.get(place)).copied().unwrap_or_default(),
        }
    }

    /// How many words there are, at least one.
    pub(crate) fn words(&self) -> usize {
        1 + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    /// The set that these words stand for.
    pub(crate) fn of_words(mut words: impl Iterator<Item = u64>) -> Self {
        let first = words.next().unwrap_or_default();
        let mut rest: Vec<u64> = words.collect();
        let length = rest.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        rest.truncate(length);
        Self { first, rest: (!rest.is_empty()).then(|| rest.into()) }
    }

    /// How many digits the text has.
    pub(crate) fn digits(&self) -> usize {
        let last = self.words() - 1;
        last * WORD_BITS + (u64::BITS - self.word(last).leading_zeros()) as usize
    }
}

/// Bit *i* stands for column *i*.
impl From<u64> for Columns {
    fn from(word: u64) -> Self {
        Self { first: word, rest: None }
    }
}

impl FromIterator<usize> for Columns {
    fn from_iter<I: IntoIterator<Item = usize>>(columns: I) -> Self {
        let mut words = vec![0_u64];
        for index in columns {
            let place = index / WORD_BITS;
            if place >= words.len() {
                words.resize(place + 1, 0);
            }
            words[place] |= 1 << (index % WORD_BITS);
        }
        Self::of_words(words.into_iter())
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.digits()).try_for_each(|index| f.write_str(if self.holds(index) { "1" } else { "0" }))
    }
}

impl FromStr for Columns {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.bytes().find(|digit| !matches!(digit, b'0' | b'1')) {
            None => Ok(text.bytes().enumerate().filter(|(_, digit)| *digit == b'1').map(|(index, _)| index).collect()),
            Some(_) => Err(Error::data(format!("a set of columns reads {text:?}, expected digits 0 and 1"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_reads_as_it_was_written() {
        for (columns, text) in [(vec![], ""), (vec![0, 1, 3], "1101"), (vec![63], &format!("{}1", "0".repeat(63)))] {
            let set: Columns = columns.into_iter().collect();
            assert_eq!((set.to_string().as_str(), &text.parse::<Columns>().unwrap()), (text, &set));
        }
        assert_eq!("1100".parse::<Columns>().unwrap(), Columns::from(3));
        assert!("12".parse::<Columns>().is_err());
    }

    proptest! {
        #[test]
        fn a_set_is_what_a_tree_of_its_columns_is(
            left in prop::collection::btree_set(0..300_usize, 0..12),
            right in prop::collection::btree_set(0..300_usize, 0..12),
            narrow in prop::collection::btree_set(0..64_usize, 0..4),
        ) {
            let set = |tree: &BTreeSet<usize>| tree.iter().copied().collect::<Columns>();
            for (left, right) in [(&left, &right), (&right, &narrow), (&narrow, &left), (&narrow, &narrow)] {
                let (a, b) = (set(left), set(right));
                prop_assert_eq!(a == b, left == right);
                prop_assert_eq!(a.is_within(&b), left.is_subset(right));
                prop_assert_eq!(a.with(&b), left.union(right).copied().collect::<Columns>());
                prop_assert_eq!(a.within(&b), left.intersection(right).copied().collect::<Columns>());
                prop_assert_eq!(a.is_empty(), left.is_empty());
                let moved = |gone: usize| left.iter().filter(move |c| **c != gone).map(move |c| c - usize::from(*c > gone));
                prop_assert!((0..300).step_by(7).all(|gone| a.without(gone) == moved(gone).collect::<Columns>()));
                prop_assert!((0..320).all(|index| a.holds(index) == left.contains(&index)));
                prop_assert_eq!(a.to_string().parse::<Columns>().unwrap(), a);
            }
        }
    }
}
