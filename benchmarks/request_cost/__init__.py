"""What one request costs, before and after a change."""
