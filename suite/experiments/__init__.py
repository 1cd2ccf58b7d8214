"""Experiments with running samples, which the run, its tests and the benchmarks share."""
