//! What the work is cut into: plain values that every other room knows.
//!
//! Nothing here reads or writes anything.

pub mod batch;
pub mod block;
pub mod decimal;
pub mod dtype;
pub mod format;
pub mod fraction;
pub mod lacking;
pub mod own_row;
pub mod partition;
pub mod permutation;
pub mod random;
pub mod row_set;
pub mod schema;
pub mod texts;
