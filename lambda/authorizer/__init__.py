"""What API Gateway asks before a request: which key it brings."""
