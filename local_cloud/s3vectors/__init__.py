"""Amazon S3 Vectors: vector buckets and indexes, searched exactly, by NumPy."""
