"""Stacked training of many networks at once; the only room that imports torch."""
