"""SNS's function: how requests to asynchronous endpoints ended."""
