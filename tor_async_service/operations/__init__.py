"""The endpoints that each service has for its operators."""
