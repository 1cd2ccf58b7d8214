"""A service as a process: application, options, run."""
