"""PSFs from stars, kernels between them, and one resolution for every band."""
