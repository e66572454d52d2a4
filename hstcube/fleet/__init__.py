"""Many targets: the ledger of a run, the proof that a target is done, and work in processes."""
