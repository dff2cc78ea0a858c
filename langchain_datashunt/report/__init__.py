"""The report: one self-contained HTML file made from a hard-sample log. Needs the extras ``report`` and ``fit``."""
