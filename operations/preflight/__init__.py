"""Whether a deploy can succeed, found out before it begins. Reads, never writes."""
