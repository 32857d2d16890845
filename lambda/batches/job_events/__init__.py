"""EventBridge's function: how bulk jobs ended."""
