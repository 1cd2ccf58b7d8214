"""Design functions to try the query server with, and to copy."""
