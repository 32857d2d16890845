"""Pictures get C2PA manifests, signed by a KMS key that no function holds."""
