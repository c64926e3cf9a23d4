//! Rounding to whole numbers; floats stay floats.

use super::{Function, Whole, in_lanes};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "floor",
        formula: "the largest whole number that is not above x",
        whole: Whole::Exact(Ok),
        float: Some(f64::floor),
        floats: in_lanes!(|x| x.floor()),
    },
    Function {
        name: "ceil",
        formula: "the smallest whole number that is not below x",
        whole: Whole::Exact(Ok),
        float: Some(f64::ceil),
        floats: in_lanes!(|x| x.ceil()),
    },
    Function {
        name: "round",
        formula: "the nearest whole number, of two the even one",
        whole: Whole::Exact(Ok),
        float: Some(f64::round_ties_even),
        floats: in_lanes!(|x| x.round_ties_even()),
    },
    Function {
        name: "trunc",
        formula: "x without what is behind the point",
        whole: Whole::Exact(Ok),
        float: Some(f64::trunc),
        floats: in_lanes!(|x| x.trunc()),
    },
];
