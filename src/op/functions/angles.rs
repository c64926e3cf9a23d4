//! Functions of angles, in radians, and their hyperbolic sisters.

use super::{Function, sine};

pub const FUNCTIONS: &[Function] = &[
    Function::of_floats("sin", "sine of x", core_math::sin).with_floats((core_math::sin, sine::sin)),
    Function::of_floats("cos", "cosine of x", core_math::cos).with_floats((core_math::cos, sine::cos)),
    Function::of_floats("tan", "tangent of x", core_math::tan),
    Function::of_floats("asin", "the angle whose sine is x", core_math::asin),
    Function::of_floats("acos", "the angle whose cosine is x", core_math::acos),
    Function::of_floats("atan", "the angle whose tangent is x", core_math::atan),
    Function::of_floats("sinh", "hyperbolic sine of x", core_math::sinh),
    Function::of_floats("cosh", "hyperbolic cosine of x", core_math::cosh),
    Function::of_floats("tanh", "hyperbolic tangent of x", core_math::tanh),
    Function::of_floats("asinh", "the number whose hyperbolic sine is x", core_math::asinh),
    Function::of_floats("acosh", "the number whose hyperbolic cosine is x", core_math::acosh),
    Function::of_floats("atanh", "the number whose hyperbolic tangent is x", core_math::atanh),
];
