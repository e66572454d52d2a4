"""What a broader PSF makes of images: profiles, the forward model, fits by least squares."""
