"""What a new service gets for each hashed property, written for the color of fruits; see hashing.py."""
