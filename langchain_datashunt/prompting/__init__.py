"""The two ends of one label space: the prompt with the small model's hints, and the reply's parser (S4L pruning)."""
