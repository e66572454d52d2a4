"""From a folder of images to homogeneous cubes: recipes, runs, checks."""
