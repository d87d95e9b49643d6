"""Fuzzing of everything that reads bytes from outside: `make fuzz`.

`targets` has one function for each codec: it takes any bytes, and raises only where a promise is
broken. `seeds` has the inputs from which others are made. tests/fuzz/test_targets.py runs each for
a moment; `python -m tests.fuzz TARGET` runs one with atheris, which is led by the code's coverage,
for as long as wanted.
"""
