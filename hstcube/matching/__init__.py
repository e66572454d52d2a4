"""Kernels between PSFs, and one resolution for every band."""
