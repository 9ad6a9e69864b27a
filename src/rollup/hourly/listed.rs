//! The different values of groups, on their way into lists.

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};

use super::bins::{Packed, Pair};
use crate::error::{Error, Result};
use crate::rollup::pack;

/// What a state has of the values that were counted.
pub(super) struct Values {
    /// The values that are listed, group by group.
    pub values: ArrayRef,
    /// How many of them each group has.
    pub lengths: Vec<usize>,
    /// How many values beyond these each group has.
    pub counted: Vec<i64>,
}

/// Values by the rank of their group in the result.
pub(super) struct Listed {
    ranks: Vec<u32>,
    packed: Vec<Packed>,
    long: Vec<(u32, Vec<u8>)>,
}

/// The rank of a group that is not in the result.
const NOWHERE: u32 = u32::MAX;

impl Listed {
    /// For so many groups, of which these are in the result, in this order.
    pub fn new(groups: usize, order: &[u32]) -> Self {
        let mut ranks = vec![NOWHERE; groups];
        for (rank, group) in order.iter().enumerate() {
            ranks[*group as usize] = rank as u32;
        }
        Self { ranks, packed: Vec::new(), long: Vec::new() }
    }

    /// Keeps a value of a group.
    pub fn push(&mut self, group: u32, pair: &Pair<'_>) {
        let rank = self.ranks.get(group as usize).copied().unwrap_or(NOWHERE);
        match pair {
            _ if rank == NOWHERE => {}
            Pair::Packed(packed) => self.packed.push(Packed { group: rank, ..*packed }),
            Pair::Long(bytes) => self.long.push((rank, bytes.to_vec())),
        }
    }

    /// Brings the values into the order of the result, and returns how many each group has.
    pub fn lengths(&mut self, groups: usize) -> Vec<usize> {
        self.packed.sort_unstable_by_key(|pair| (pair.group, pair.kind, pair.value));
        self.long.sort_unstable();
        let mut lengths = vec![0; groups];
        let ranks = self.packed.iter().map(|pair| pair.group).chain(self.long.iter().map(|(rank, _)| *rank));
        ranks.for_each(|rank| lengths[rank as usize] += 1);
        lengths
    }

    /// The values as integers, once in order.
    pub fn integers(&self) -> impl Iterator<Item = u64> {
        self.packed.iter().map(|pair| pair.value[0])
    }

    /// The values as texts, once in order.
    ///
    /// # Errors
    /// `Data` where they are more than one Arrow column can hold.
    pub fn texts(&self, name: &str) -> Result<StringArray> {
        let (mut bytes, mut ends) = (Vec::new(), vec![0_i32]);
        let mut end = |bytes: &Vec<u8>| -> Result<()> {
            ends.push(i32::try_from(bytes.len()).map_err(|e| too_many(name).because(e))?);
            Ok(())
        };
        let mut long = self.long.iter().peekable();
        let mut packed = self.packed.iter().peekable();
        loop {
            let packed_is_next = match (packed.peek(), long.peek()) {
                (Some(pair), Some((rank, _))) => pair.group <= *rank,
                (next, _) => next.is_some(),
            };
            if packed_is_next {
                packed.next().into_iter().for_each(|pair| pack::append(pair.kind, pair.value, &mut bytes));
            } else {
                let Some((_, text)) = long.next() else { break };
                bytes.extend(text);
            }
            end(&bytes)?;
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        StringArray::try_new(offsets, bytes.into(), None)
            .map_err(|e| Error::internal("a text is none any more").because(e))
    }
}

fn too_many(name: &str) -> Error {
    Error::data(format!(
        "the different values of measure {name} are more than 2 GiB of text, which no state can hold; \
         roll up fewer files at once, or in more tasks"
    ))
    .with("measure", name)
}
