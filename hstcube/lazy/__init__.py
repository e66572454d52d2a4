"""Images that dask holds in blocks: what gives any region of them, and arrays made of that."""
