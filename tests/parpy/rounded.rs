//! Answers beside those of Python: functions with `decimal` to many digits, expressions with its own arithmetic.

use crate::dsl::*;
use crate::python::python;

/// Each function is the float nearest to the true value: to what `decimal` makes of it with 80 digits.
#[test]
fn functions_are_correctly_rounded() {
    let dir = Dir::new();
    let make = "
import random, struct
random.seed(11)
def any_float():
    while True:
        x = struct.unpack('<d', random.randbytes(8))[0]
        if x == x and abs(x) < 1e300:
            return x
small = [random.uniform(-30, 30) for _ in range(400)] + [random.uniform(-1, 1) for _ in range(200)]
small += [random.uniform(-1e5, 1e5) for _ in range(100)] + [x for x in (any_float() for _ in range(600)) if abs(x) < 1e5]
# Near what is hard: multiples of a quarter turn, and where a logarithm is next to nothing.
small += [k * 1.5707963267948966 for k in range(-60, 60)] + [1 + k * 2.0 ** -30 for k in range(-40, 40)]
with open('x.txt', 'w') as file:
    file.writelines(f'{x!r}\\n' for x in small)
";
    if !python(&dir, "decimal", make) {
        return;
    }
    let names = [
        "exp", "exp2", "log", "log2", "log10", "sqrt", "cbrt", "sin", "cos", "tan", "atan", "sinh", "cosh",
        "tanh",
    ];
    for name in names {
        for (pattern, suffix) in [("serial", "scalar"), ("simd", "lanes")] {
            let run = parpy("map --from x.txt --dtype f64 -f").arg(name).args("-p").arg(pattern).args("-o");
            run.arg(format!("{name}.{suffix}.txt")).folder(dir.path("")).done().succeeds();
        }
        assert_eq!(dir.read(&format!("{name}.scalar.txt")), dir.read(&format!("{name}.lanes.txt")), "{name}");
    }
    let check = "
from decimal import Decimal as D, getcontext, localcontext
import math
getcontext().prec = 80
PI = D('3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651')
def series(x, term, step):
    total, last, i = term, None, 0
    while total != last:
        last, i = total, i + 1
        term = step(term, i)
        total += term
    return total
def sin(x):
    with localcontext() as context:
        context.prec = 110
        x = x - 2 * PI * (x / (2 * PI)).to_integral_value()
        return series(x, x, lambda term, i: -term * x * x / ((2 * i) * (2 * i + 1)))
def cos(x):
    with localcontext() as context:
        context.prec = 110
        x = x - 2 * PI * (x / (2 * PI)).to_integral_value()
        return series(x, D(1), lambda term, i: -term * x * x / ((2 * i - 1) * (2 * i)))
def atan(x):
    # Halved until the series is short.
    with localcontext() as context:
        context.prec = 110
        halved = 0
        while abs(x) > D('0.05'):
            x, halved = x / (1 + (1 + x * x).sqrt()), halved + 1
        total, power, k = D(0), x, 1
        while True:
            new = total + power / k
            if new == total:
                return total * 2 ** halved
            total, power, k = new, -power * x * x, k + 2
def sinh(x):
    if abs(x) < 1:
        return series(x, x, lambda term, i: term * x * x / ((2 * i) * (2 * i + 1)))
    return (x.exp() - (-x).exp()) / 2
def cbrt(x):
    root = abs(x) ** (D(1) / 3)
    return -root if x < 0 else root
functions = {
    'exp': lambda x: x.exp(), 'exp2': lambda x: (x * D(2).ln()).exp(), 'log': lambda x: x.ln(),
    'log2': lambda x: x.ln() / D(2).ln(), 'log10': lambda x: x.log10(), 'sqrt': lambda x: x.sqrt(), 'cbrt': cbrt,
    'sin': sin, 'cos': cos, 'tan': lambda x: sin(x) / cos(x), 'atan': atan,
    'sinh': sinh, 'cosh': lambda x: (x.exp() + (-x).exp()) / 2, 'tanh': lambda x: sinh(x) / ((x.exp() + (-x).exp()) / 2),
}
only_above = {'log', 'log2', 'log10', 'sqrt'}
values = [float(line) for line in open('x.txt')]
for name, function in functions.items():
    found = [float(line) for line in open(name + '.lanes.txt')]
    assert len(found) == len(values)
    for x, y in zip(values, found):
        if name in only_above and x <= 0:
            continue
        if abs(x) > 700 and name in ('exp', 'exp2', 'sinh', 'cosh', 'tanh'):
            continue
        if x == 0:
            continue
        exact = float(function(D(x)))
        assert y == exact, (name, x, y, exact)
";
    assert!(python(&dir, "decimal", check));
}

/// Random expressions over two columns, as Python works them out: whole numbers without end, floats as they are.
#[test]
fn expressions_are_those_of_python() {
    let dir = Dir::new();
    let make = "
import json, random
random.seed(5)
def whole(depth):
    if depth == 0 or random.random() < 0.2:
        return random.choice(['a', 'b', str(random.randint(-9, 9))])
    kind = random.randrange(8)
    x, y = whole(depth - 1), whole(depth - 1)
    return [f'({x} + {y})', f'({x} - {y})', f'({x} * {y})', f'-({x})', f'min({x}, {y})', f'max({x}, {y})',
            f'({x} // (({y})**2 + 1))', f'({x} % (({y})**2 + 1))'][kind]
def real(depth):
    if depth == 0 or random.random() < 0.2:
        return random.choice(['float(a)', 'float(b)', repr(random.uniform(-3, 3)), 'pi'])
    kind = random.randrange(6)
    x, y = real(depth - 1), real(depth - 1)
    return [f'({x} + {y})', f'({x} - {y})', f'({x} * {y})', f'({x} / ({y} * {y} + 0.5))', f'-({x})', f'abs({x})'][kind]
rows = [(random.randint(-50, 50), random.randint(-50, 50)) for _ in range(200)] + [(2**62, 3), (-2**63, -1), (2**63 - 1, 2)]
with open('t.csv', 'w') as file:
    file.write('a,b\\n' + ''.join(f'{a},{b}\\n' for a, b in rows))
expressions = [whole(random.randint(1, 5)) for _ in range(60)] + [real(random.randint(1, 5)) for _ in range(40)]
with open('e.toml', 'w') as file:
    for i, text in enumerate(expressions):
        file.write(f'[[task]]\\nmap = {{ from = \"t.csv\", function = {json.dumps(text)}, columns = [\"output\"] }}\\n'
                   f'output = \"{i}.txt\"\\nkeep_going = true\\n')
json.dump(expressions, open('e.json', 'w'))
";
    if !python(&dir, "json", make) {
        return;
    }
    for pattern in ["serial", "threads"] {
        let done = parpy("-q run").arg(dir.path("e.toml")).args("-p").arg(pattern).done();
        assert!([0, 1].contains(&done.code), "{}", done.stderr);
        let check = "
import json
from math import pi
rows = [tuple(map(int, line.split(','))) for line in open('t.csv').read().split()[1:]]
limit = 2 ** 63
for i, text in enumerate(json.load(open('e.json'))):
    found = open(f'{i}.txt').read().split('\\n')[:-1]
    assert len(found) == len(rows), text
    for (a, b), word in zip(rows, found):
        exact = eval(text, {'a': a, 'b': b, 'pi': pi, 'min': min, 'max': max, 'abs': abs, 'float': float})
        if word == '':
            # Whole numbers that do not fit, be it on the way.
            assert isinstance(exact, int), (text, a, b)
        elif isinstance(exact, int):
            assert int(word) == exact and -limit <= exact < limit, (text, a, b, word, exact)
        else:
            assert float(word) == exact or word == 'NaN', (text, a, b, word, exact)
";
        assert!(python(&dir, "json", check));
    }
}
