"""Side-by-side measurements, on one database in one run; README.md says how to run and to read them."""
