"""Dashboards for Grafana, and Prometheus's configuration and alert rules: README.md says how to use them."""
