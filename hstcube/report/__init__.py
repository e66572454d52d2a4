"""One page of HTML for each field: is the cube good, and what is in it."""
