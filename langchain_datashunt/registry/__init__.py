"""Numbered versions of a small model with its policy, in a folder; one of them serves."""
