"""Presentation of results: tables of text, answers, lookup of runs."""
