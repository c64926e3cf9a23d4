//! What rank 0 and a rank that does not share its memory write to each other: orders, each with the rows of its block where
//! they travel, and answers, each with its bytes. A message is several of them, one behind the other, in whole words, so
//! that many small blocks share one. Pure: who sends a message when is not known here.

use bytemuck::{Pod, Zeroable};

use crate::sched::result_header::ResultHeader;

/// Rank 0's words to another rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Order {
    /// [`WORK`], [`MORE`], [`LAST`] or [`STOP`].
    pub kind: u64,
    /// Which block of those that the rank has it is about: a number that comes back with the answer.
    pub key: u64,
    pub start: u64,
    pub end: u64,
    /// Words of rows that follow.
    pub words: u64,
}

/// Work on this block.
pub const WORK: u64 = 1;
/// Go on with the answer to the block.
pub const MORE: u64 = 2;
/// There are no more blocks.
pub const LAST: u64 = 3;
/// Nobody wants any more answers.
pub const STOP: u64 = 4;

/// A rank's words to rank 0.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Answer {
    /// [`DONE`], [`HEARD`] or [`BYE`].
    pub kind: u64,
    /// As [`Order::key`]; with [`HEARD`] the signal.
    pub key: u64,
    /// Which of the rank's threads has given it.
    pub thread: u64,
    /// What it says. Its bytes and those of its message follow, up to a whole word.
    pub header: ResultHeader,
}

/// A chunk of the answer to a block.
pub const DONE: u64 = 1;
/// A signal has come.
pub const HEARD: u64 = 2;
/// The last words of this rank.
pub const BYE: u64 = 3;

/// Adds an order, behind which its rows follow, to a message.
pub fn put_order(message: &mut Vec<u64>, order: Order, rows: &[u64]) {
    message.extend_from_slice(bytemuck::cast_slice(&[Order { words: rows.len() as u64, ..order }]));
    message.extend_from_slice(rows);
}

/// How much longer an order with these rows makes a message, in words.
pub fn words_of_order(rows: &[u64]) -> usize {
    size_of::<Order>() / size_of::<u64>() + rows.len()
}

/// How much longer an answer with these bytes makes a message, in words.
pub fn words_of_answer(bytes: &[u8]) -> usize {
    (size_of::<Answer>() + bytes.len()).div_ceil(size_of::<u64>())
}

/// The order at word `at` of a message, with its rows; `at` moves on. `None` at the end.
pub fn next_order<'m>(message: &'m [u64], at: &mut usize) -> Option<(Order, &'m [u64])> {
    let order: Order = take(message, at)?;
    let rows = message.get(*at..at.checked_add(usize::try_from(order.words).ok()?)?)?;
    *at += rows.len();
    Some((order, rows))
}

/// Adds an answer to a message; `bytes` are as many as its header says.
pub fn put_answer(message: &mut Vec<u64>, answer: &Answer, bytes: &[u8]) {
    message.extend_from_slice(bytemuck::cast_slice(std::slice::from_ref(answer)));
    let start = message.len();
    message.resize(start + bytes.len().div_ceil(size_of::<u64>()), 0);
    bytemuck::cast_slice_mut::<_, u8>(&mut message[start..])[..bytes.len()].copy_from_slice(bytes);
}

/// The answer at word `at` of a message, and the word where its bytes begin; `at` moves on. `None` at the end.
pub fn next_answer(message: &[u64], at: &mut usize) -> Option<(Answer, usize)> {
    let answer: Answer = take(message, at)?;
    let start = *at;
    let end = start.checked_add(answer.header.len().div_ceil(size_of::<u64>()))?;
    message.get(start..end)?;
    *at = end;
    Some((answer, start))
}

fn take<T: Pod>(message: &[u64], at: &mut usize) -> Option<T> {
    let end = *at + size_of::<T>() / size_of::<u64>();
    let words = message.get(*at..end)?;
    *at = end;
    Some(bytemuck::pod_read_unaligned(bytemuck::cast_slice(words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Interval;
    use crate::op::BlockResult;
    use crate::sched::result_header::MESSAGE;

    #[test]
    fn orders_and_answers_come_as_they_were_put() {
        let mut message = Vec::new();
        let order = Order { kind: WORK, key: 7, start: 3, end: 5, words: 0 };
        put_order(&mut message, order, &[1, 2]);
        put_order(&mut message, Order { kind: MORE, key: 8, ..Order::zeroed() }, &[]);
        let mut at = 0;
        assert_eq!(next_order(&message, &mut at), Some((Order { words: 2, ..order }, &[1, 2][..])));
        assert_eq!(next_order(&message, &mut at).map(|(order, _)| (order.kind, order.key)), Some((MORE, 8)));
        assert_eq!((next_order(&message, &mut at), at), (None, message.len()));

        let mut message = Vec::new();
        for len in [0, 1, 8, 13] {
            let mut buf = vec![b'x'; len + MESSAGE];
            let answer = BlockResult { bytes: len, items: 1, ..BlockResult::default() };
            let header = ResultHeader::pack(answer, 1, Interval::default(), &mut buf, |_| String::new());
            put_answer(&mut message, &Answer { kind: DONE, key: len as u64, thread: 2, header }, &buf[..len]);
        }
        let mut at = 0;
        for len in [0, 1, 8, 13] {
            let (answer, start) = next_answer(&message, &mut at).unwrap();
            let bytes: &[u8] = bytemuck::cast_slice(&message[start..]);
            assert_eq!((answer.key, answer.thread, answer.header.len()), (len as u64, 2, len));
            assert!(bytes[..len].iter().all(|byte| *byte == b'x'));
        }
        assert!(next_answer(&message, &mut at).is_none());
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let mut message = Vec::new();
        put_order(&mut message, Order { kind: WORK, ..Order::zeroed() }, &[1, 2, 3]);
        for len in 0..message.len() {
            assert_eq!(next_order(&message[..len], &mut 0), None);
        }
        let huge = Order { words: u64::MAX, ..Order::zeroed() };
        assert_eq!(next_order(bytemuck::cast_slice(&[huge]), &mut 0), None);
    }
}
