#!/usr/bin/env bash
# The same question, asked several times, with an answer in words.
parpy scale map --range 20000..20040 --python work.py:pi --patterns pool --workers 1,2
