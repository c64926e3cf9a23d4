#!/usr/bin/env bash
# The same program, started by mpirun: it finds the other ranks by itself.
mpirun -n 3 parpy map --range 1..11 --python work.py:square
