"""Estimates and anytime-valid bounds from audits. Pure maths on counts."""
