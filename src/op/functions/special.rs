//! Special functions.

use super::Function;

pub const FUNCTIONS: &[Function] = &[
    Function::of_floats("gamma", "Γ(x)", core_math::tgamma),
    Function::of_floats("lgamma", "the logarithm of |Γ(x)|", core_math::lgamma),
    Function::of_floats("erf", "the error function of x", core_math::erf),
    Function::of_floats("erfc", "1 - erf(x)", core_math::erfc),
];
