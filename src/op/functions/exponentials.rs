//! Powers of e, 2 and 10, and logarithms.

use super::Function;

pub const FUNCTIONS: &[Function] = &[
    Function::of_floats("exp", "e^x", core_math::exp),
    Function::of_floats("exp2", "2^x", core_math::exp2),
    Function::of_floats("exp10", "10^x", core_math::exp10),
    Function::of_floats("expm1", "e^x - 1", core_math::expm1),
    Function::of_floats("log", "the natural logarithm of x", core_math::log),
    Function::of_floats("log2", "the logarithm of x to base 2", core_math::log2),
    Function::of_floats("log10", "the logarithm of x to base 10", core_math::log10),
    Function::of_floats("log1p", "the natural logarithm of 1 + x", core_math::log1p),
];
