"""Complete small services, one idea each: to run, and to copy."""
