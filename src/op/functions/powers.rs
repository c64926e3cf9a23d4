//! Powers and roots.

use super::{Function, TOO_LARGE, Whole, in_lanes, of_floats};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "identity",
        formula: "x",
        whole: Whole::Exact(Ok),
        float: Some(|x| x),
        floats: in_lanes!(|x| x),
    },
    Function {
        name: "square",
        formula: "x·x",
        whole: Whole::Exact(|x| x.checked_mul(x).ok_or(TOO_LARGE)),
        float: Some(|x| x * x),
        floats: in_lanes!(|x| x * x),
    },
    Function {
        name: "cube",
        formula: "x·x·x",
        whole: Whole::Exact(|x| x.checked_pow(3).ok_or(TOO_LARGE)),
        // Two roundings would not be the nearest float.
        float: Some(|x| core_math::pow(x, 3.0)),
        floats: None,
    },
    Function {
        name: "abs",
        formula: "|x|",
        whole: Whole::Exact(|x| x.checked_abs().ok_or(TOO_LARGE)),
        float: Some(f64::abs),
        floats: in_lanes!(|x| x.abs()),
    },
    Function {
        name: "sign",
        formula: "-1, 0 or 1",
        whole: Whole::Exact(|x| Ok(x.signum())),
        float: Some(sign),
        floats: in_lanes!(sign),
    },
    Function {
        name: "sqrt",
        formula: "√x",
        whole: Whole::AsFloat,
        float: Some(f64::sqrt),
        floats: in_lanes!(|x| x.sqrt()),
    },
    of_floats("cbrt", "the third root of x", core_math::cbrt),
];

/// Of 0 itself, and of what is no number, too.
#[inline(always)]
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}
