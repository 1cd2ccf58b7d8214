"""What has changed in a database: handed on from a checkpoint, or read once for many."""
