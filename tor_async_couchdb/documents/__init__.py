"""Documents and views of a database, as dictionaries."""
