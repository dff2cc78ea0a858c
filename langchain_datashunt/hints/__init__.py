"""Does the small model's knowledge help the large one? Measured on the inputs that are deferred, and decided."""
