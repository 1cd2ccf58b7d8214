"""What puts design documents in place: YAML files, their upload, and the command that does both."""
