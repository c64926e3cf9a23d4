//! Special functions.

use super::{Function, of_floats};

pub const FUNCTIONS: &[Function] = &[
    of_floats("gamma", "Γ(x)", core_math::tgamma),
    of_floats("lgamma", "the logarithm of |Γ(x)|", core_math::lgamma),
    of_floats("erf", "the error function of x", core_math::erf),
    of_floats("erfc", "1 - erf(x)", core_math::erfc),
];
