"""How many CPUs the machine has, and how many of them this process may use."""

import multiprocessing
import os

print("CPUs:", multiprocessing.cpu_count())
if hasattr(os, "sched_getaffinity"):
    print("may be used:", len(os.sched_getaffinity(0)))
