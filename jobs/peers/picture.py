"""Draws what jobs/compare.sh has measured: for every row a bar of parpy's time over the peer's, log axis.
  python picture.py compare.tsv FOLDER        writes FOLDER/compare.svg and FOLDER/compare.png
A line of compare.tsv: what, peer, the peer's seconds, parpy's, their ratio, the machine (tabs between)."""
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt


def quantity(seconds):
    for unit, name in (1, "s"), (1e-3, "ms"), (1e-6, "µs"):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"


table, folder = Path(sys.argv[1]), Path(sys.argv[2])
rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
ratios = [float(row[4]) for row in rows]
plt.rcParams["svg.fonttype"] = "none"  # words stay words, which can be searched
figure, axes = plt.subplots(figsize=(12, 1.6 + 0.34 * len(rows)), layout="constrained")
for place, ((what, peer, theirs, ours, *_), ratio) in enumerate(zip(rows, ratios)):
    # From the line at 1, so that its side says who is faster; hatched where that is the peer.
    slower = ratio > 1
    axes.barh(place, ratio - 1, left=1, height=0.65, color="white" if slower else "0.35",
              edgecolor="black", hatch="////" if slower else None, linewidth=0.7)
    axes.annotate(f"{ratio:.2g}", (ratio, place), xytext=(4 if slower else -4, 0), textcoords="offset points",
                  ha="left" if slower else "right", va="center", fontsize=8)
    axes.annotate(f"{quantity(float(theirs))} → {quantity(float(ours))}", (1.01, place), fontsize=8,
                  xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
axes.annotate("peer → parpy", (1.01, -1), xycoords=("axes fraction", "data"), va="center", fontsize=8,
              annotation_clip=False, weight="bold")
axes.set_xscale("log")
axes.set_xlim(min([*ratios, 0.5]) / 3, max([*ratios, 1]) * 2)
axes.axvline(1, color="black", linewidth=1.4)
axes.set_yticks(range(len(rows)), [f"{row[0]}, beside {row[1]}" for row in rows], fontsize=8)
axes.set_ylim(len(rows) - 0.4, -1.6)
axes.grid(axis="x", which="major", color="0.8", linewidth=0.6)
axes.set_axisbelow(True)
axes.xaxis.set_major_formatter("{x:g}")
axes.set_xlabel("parpy's time / the peer's time (no unit, log scale);\n"
                "left of the line at 1 parpy is faster, right of it (hatched) the peer", fontsize=9)
axes.set_title(rows[0][5], fontsize=9)
for kind in "svg", "png":
    figure.savefig(folder / f"compare.{kind}", dpi=130)
