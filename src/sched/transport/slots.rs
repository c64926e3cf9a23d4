//! Which blocks are in which slots of an arena: known to the manager alone.

use std::collections::VecDeque;

use crate::data::block::Block;

/// The blocks that have been handed out and not been released.
pub struct SlotTable {
    /// Their slots, from block number `first` on; nothing for one that has been released.
    slots: VecDeque<Option<usize>>,
    first: u64,
    /// Slots that are nobody's. The one that was used last is the next: it is still in a cache.
    free: Vec<usize>,
    /// What each slot has.
    blocks: Vec<Block>,
}

impl SlotTable {
    /// Of an arena of `count` slots, all of which are free.
    pub fn new(count: usize) -> Self {
        let free = (0..count).rev().collect();
        Self { slots: VecDeque::new(), first: 0, free, blocks: vec![Block::default(); count] }
    }

    /// Is there a slot that is free?
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// The slot that the next block comes to. There must be room.
    pub fn next_free(&self) -> usize {
        *self.free.last().expect("there is room")
    }

    /// Puts the next block, which has this number, into that slot, and returns it.
    pub fn add(&mut self, number: u64, block: Block) -> usize {
        let slot = self.free.pop().expect("there is room");
        debug_assert_eq!(number, self.first + self.slots.len() as u64);
        self.slots.push_back(Some(slot));
        self.blocks[slot] = block;
        slot
    }

    /// The slot of a block, unless that has been released.
    pub fn find(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(place).copied().flatten()
    }

    /// The slot of a block that has not been released.
    pub fn slot(&self, number: u64) -> usize {
        self.find(number).expect("a block that has not been released")
    }

    /// The block that has this number.
    pub fn block(&self, number: u64) -> Block {
        self.blocks[self.slot(number)]
    }

    /// The block is over. Returns its slot.
    pub fn remove(&mut self, number: u64) -> usize {
        let slot = self.slot(number);
        self.slots[(number - self.first) as usize] = None;
        while self.slots.front() == Some(&None) {
            self.slots.pop_front();
            self.first += 1;
        }
        self.free.push(slot);
        slot
    }

    /// No block before this one is left.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Numbers from the first block that is left to the last, with those between them that have been released.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.slots.len() as u64
    }

    /// How many these are.
    pub fn span(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_whatever_the_order() {
        let mut table = SlotTable::new(2);
        let block = |start| Block { start, end: start + 1 };
        let (a, b) = (table.add(0, block(0)), table.add(1, block(1)));
        assert!(!table.has_room() && a != b);
        assert_eq!(table.remove(1), b);
        assert_eq!((table.next_free(), table.span(), table.first()), (b, 2, 0));
        assert_eq!(table.add(2, block(2)), b);
        assert_eq!((table.find(1), table.find(2), table.block(2)), (None, Some(b), block(2)));
        assert_eq!(table.remove(0), a);
        assert_eq!((table.numbers(), table.find(0), table.find(9)), (2..3, None, None));
    }
}
