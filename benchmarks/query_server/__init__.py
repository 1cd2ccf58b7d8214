"""The query server couch_named_python."""
