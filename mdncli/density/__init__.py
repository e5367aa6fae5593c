"""Distributions over targets: densities, quantiles, draws, scores."""
