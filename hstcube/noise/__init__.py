"""Errors that hold for any group of pixels: measured, propagated, tested."""
