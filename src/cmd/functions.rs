//! `parpy functions`: what `-f` knows.

use std::fmt::Write as _;

use serde_json::json;

use crate::base::table;
use crate::op::expr::OF_SEVERAL;
use crate::op::functions::{self, Function, OfText, Whole};
use crate::op::reduce;

/// What expressions are made of, beside functions.
const OPERATORS: &str = "  + - *              of whole numbers: exact in 64 bits, or there is no answer
  /                  a float, of whole numbers too
  // %               quotient, rounded down, and remainder, of the sign of the divisor (as in Python)
  ^ or **            power: 2^3^2 is 2^(3^2), and -x^2 is -(x^2)
  < <= > >= == !=    1 where it is so, else 0
  and or not         also && || !
  uniform() normal() draw from a stream of the item's own, that of numpy's Generator(Philox(key=(SEED, ROW))): the first
                     draw is its first number, the next its second, in the order of the text, chosen by if() or not;
                     normal() makes one of two (Box and Muller, correctly rounded)
  pi e inf nan       numbers that have names, unless a column is called so
  `a column`         a column whose name is no word
";

/// All functions, for people.
pub fn text() -> String {
    let mut table =
        table::headed(&["function", "whole numbers", "floats", "text", "formula"], &[0, 1, 2, 3, 4]);
    for function in functions::all() {
        let [of_wholes, of_floats, of_texts] = types(function).map(Option::unwrap_or_default);
        table.add_row([function.name, of_wholes, of_floats, of_texts, function.formula]);
    }
    table::align(&mut table, &[0, 1, 2, 3, 4]);
    let mut text = format!("{}\n\nIn expressions, as in -f 'sqrt(x^2 + 1)', also\n", table::text(&table));
    for (call, formula) in OF_SEVERAL {
        let _ = writeln!(text, "  {call:<18} {formula}");
    }
    text += OPERATORS;
    text += "\nFor --reduce, of all answers or of a column, as in --reduce 'mean,max(x)'\n";
    for reduction in reduce::all() {
        let _ = writeln!(text, "  {:<18} {}", reduction.name, reduction.help);
    }
    text + "  hist:N, hist:N:A:B how many lie in each of N bins, from A to B (else from the least to the greatest)\n"
}

/// The same for programs: a list of objects.
pub fn json() -> String {
    let of_one = functions::all().map(|function| {
        let [of_wholes, of_floats, of_texts] = types(function);
        json!({
            "name": function.name,
            "i64": of_wholes,
            "f64": of_floats,
            "text": of_texts,
            "formula": function.formula
        })
    });
    format!("{:#}\n", json!(of_one.collect::<Vec<_>>()))
}

/// What a function makes of whole numbers, of floats and of texts, where it is of them.
fn types(function: &Function) -> [Option<&'static str>; 3] {
    let of_floats = function.float.map(|_| "f64");
    let of_wholes = match function.whole {
        Whole::Exact(_) => Some("i64"),
        Whole::AsFloat => of_floats,
    };
    let of_texts = function.text.map(|text| match text {
        OfText::Whole(_) => "i64",
        OfText::Text(_) => "text",
    });
    [of_wholes, of_floats, of_texts]
}
