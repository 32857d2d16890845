"""Takes an endpoint out of service that nobody uses, or by the clock, and brings it back."""
