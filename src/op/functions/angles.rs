//! Functions of angles, in radians, and their hyperbolic sisters.

use super::{Function, of_floats};

pub const FUNCTIONS: &[Function] = &[
    of_floats("sin", "sine of x", core_math::sin),
    of_floats("cos", "cosine of x", core_math::cos),
    of_floats("tan", "tangent of x", core_math::tan),
    of_floats("asin", "the angle whose sine is x", core_math::asin),
    of_floats("acos", "the angle whose cosine is x", core_math::acos),
    of_floats("atan", "the angle whose tangent is x", core_math::atan),
    of_floats("sinh", "hyperbolic sine of x", core_math::sinh),
    of_floats("cosh", "hyperbolic cosine of x", core_math::cosh),
    of_floats("tanh", "hyperbolic tangent of x", core_math::tanh),
    of_floats("asinh", "the number whose hyperbolic sine is x", core_math::asinh),
    of_floats("acosh", "the number whose hyperbolic cosine is x", core_math::acosh),
    of_floats("atanh", "the number whose hyperbolic tangent is x", core_math::atanh),
];
