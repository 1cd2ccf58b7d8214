"""A service that counts what its users care about."""
