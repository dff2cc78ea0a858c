"""The command `datashunt`."""
