//! Many values made one.

pub mod exact;
