"""The data: what is seen, without I/O."""
