"""Prompt transfer: small models solve the easy subtasks of a prompt (S4L transferring)."""
