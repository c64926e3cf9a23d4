#!/usr/bin/env bash
# A pool of two worker processes. Answers come in the order of the values.
parpy map --range 1..11 --python work.py:square -p pool -j 2
