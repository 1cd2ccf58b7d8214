"""A service that knows whether it is well."""
