//! Rounding to whole numbers; floats stay floats.

use super::{Function, in_lanes};

pub const FUNCTIONS: &[Function] = &[
    Function::of_both("floor", "the largest whole number that is not above x", Ok, None)
        .with_floats(in_lanes!(|x| x.floor())),
    Function::of_both("ceil", "the smallest whole number that is not below x", Ok, None)
        .with_floats(in_lanes!(|x| x.ceil())),
    Function::of_both("round", "the nearest whole number, of two the even one", Ok, None)
        .with_floats(in_lanes!(|x| x.round_ties_even())),
    Function::of_both("trunc", "x without what is behind the point", Ok, None)
        .with_floats(in_lanes!(|x| x.trunc())),
];
