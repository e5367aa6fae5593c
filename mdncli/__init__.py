"""Mixture density networks from the command line: distributions instead of averages."""

__version__ = "0.1.0"
