"""The callback that writes the hard-sample log, and what reads a finished run."""
