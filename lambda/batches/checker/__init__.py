"""Does what takes longer than a request may: checks batches, starts, stops and finishes them."""
