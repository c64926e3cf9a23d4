#!/usr/bin/env bash
# A process for each value: the value, its square, and the process that has found it.
parpy map 1 2 3 4 5 --python work.py:square -p process --who
