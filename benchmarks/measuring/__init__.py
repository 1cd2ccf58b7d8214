"""What benchmarks share: load, fruits, rounds, processor time, tables and plots."""
