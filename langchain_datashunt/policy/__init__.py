"""The policy and how it is found: calibration, thresholds, certificates, costs, the verdict. Pure maths on arrays."""
