"""OpenTelemetry metrics and spans of the runs of shunts. Needs the extra ``otel``; the SDK is the user's choice."""
