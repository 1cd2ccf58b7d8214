"""The command line: install, replicate, re-sign, re-encrypt, keys."""
