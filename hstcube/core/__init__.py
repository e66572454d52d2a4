"""What a cube is: grids, bands, the Dataset, and the engine that runs a function on every band."""
