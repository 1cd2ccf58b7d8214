"""The endpoints that each service has for who operates it."""
