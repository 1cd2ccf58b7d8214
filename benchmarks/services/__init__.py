"""The services beside a peer's."""
