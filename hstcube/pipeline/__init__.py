"""Whole jobs: recipes, runs, checks, comparisons."""
