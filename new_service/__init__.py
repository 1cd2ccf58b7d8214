"""What `new_service.sh` does: it makes a project of its own out of a sample."""
