"""Fields, cubes, PSFs, levels and tables, in and out."""
