"""Formulas and reductions with numpy, numexpr, DuckDB and polars, from a file in the page cache to the answers: prints the
median seconds of five, the load of the file included and the start of Python not.
  python formulas.py linear|sine IN.npy         2*x + 1, or x**2 + 3*sin(x), with numexpr and 2 threads
  python formulas.py hypot IN.npy               sqrt(x**2 + y**2) of two columns, with numexpr and 2 threads
  python formulas.py sum|moments IN.npy         numpy's sum (pairwise, not exact); mean, std, min and max
  python formulas.py duckdb|polars IN.csv       the mean of column x, with 2 threads
  python formulas.py make FOLDER                no peer: input for these"""
import os
import sys
from pathlib import Path
from statistics import median
from timeit import repeat

os.environ["POLARS_MAX_THREADS"] = "2"
import numpy as np

job, source = sys.argv[1:3]
if job == "make":
    values = np.random.default_rng(2).normal(size=100_000_000)
    np.save(Path(source, "f100m.npy"), values)
    np.save(Path(source, "f10m.npy"), values[:10_000_000])
    np.save(Path(source, "f2x50m.npy"), values.reshape(-1, 2))
    with open(Path(source, "f.csv"), "w") as file:
        file.write("i,x,y\n")
        rows = "".join(f"{i},{x!r},{-x!r}\n" for i, x in enumerate(values[:1_000_000].tolist()))
        while file.tell() < 1_000_000_000:
            file.write(rows)
    sys.exit()

if job in ("linear", "sine", "hypot"):
    import numexpr

    numexpr.set_num_threads(2)


def once():
    match job:
        case "linear":
            x = np.load(source)
            return numexpr.evaluate("2*x + 1")
        case "sine":
            x = np.load(source)
            return numexpr.evaluate("x**2 + 3*sin(x)")
        case "hypot":
            table = np.load(source)
            x, y = table[:, 0], table[:, 1]
            return numexpr.evaluate("sqrt(x**2 + y**2)")
        case "sum":
            return np.load(source).sum()
        case "moments":
            x = np.load(source)
            return x.mean(), x.std(), x.min(), x.max()
        case "duckdb":
            import duckdb

            connection = duckdb.connect(config={"threads": 2})
            return connection.sql(f"select avg(x) from read_csv('{source}')").fetchall()
        case "polars":
            import polars

            return polars.scan_csv(source).select(polars.col("x").mean()).collect()
    raise SystemExit(__doc__)


print(median(repeat(once, number=1, repeat=5)))
