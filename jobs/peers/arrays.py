"""Squares of doubles with numpy, mostly file to file; then the whole process is measured.
  python arrays.py memory COUNT          no files: prints the best seconds of five, into an array that exists
  python arrays.py hdf5|hdf5-both|npy|text IN.npy OUT    hdf5-both keeps the values beside the squares
  python arrays.py loadtxt|read_csv IN.txt               reads text, and drops the squares
  python arrays.py make FOLDER           no peer: input for these, of 100 and 10 million random doubles"""
import sys
from pathlib import Path
from timeit import repeat

import numpy as np

job, source = sys.argv[1:3]
if job == "memory":
    values = np.arange(float(source))
    squares = np.zeros_like(values)
    print(min(repeat(lambda: np.multiply(values, values, out=squares), number=1, repeat=5)))
elif job == "make":
    values = np.random.default_rng(2).normal(size=100_000_000)
    np.save(Path(source, "100m.npy"), values)
    np.save(Path(source, "10m.npy"), values[:10_000_000])
    np.savetxt(Path(source, "10m.txt"), values[:10_000_000])
elif job == "loadtxt":
    np.square(np.loadtxt(source))
elif job == "read_csv":
    import pandas

    np.square(pandas.read_csv(source, header=None)[0].to_numpy())
else:
    values = np.load(source)
    squares = values * values
    if job == "npy":
        np.save(sys.argv[3], squares)
    elif job == "text":
        np.savetxt(sys.argv[3], squares)
    else:
        import h5py

        with h5py.File(sys.argv[3], "w") as file:
            file["output"] = squares
            if job == "hdf5-both":
                file["input"] = values
