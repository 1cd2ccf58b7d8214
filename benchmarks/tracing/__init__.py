"""What traces cost, beside OpenTelemetry's own instrumentation."""
