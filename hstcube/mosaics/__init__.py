"""Images larger than memory: cubes that go to disk block by block."""
