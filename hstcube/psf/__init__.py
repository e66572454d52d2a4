"""PSFs: made fit for use, measured from stars."""
