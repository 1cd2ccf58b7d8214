"""Several processes of one service, of which exactly one leads."""
