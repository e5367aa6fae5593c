"""Stacked training of many networks at once; the only package that imports torch."""
