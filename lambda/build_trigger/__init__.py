"""Starts a CodeBuild build for a deploy and makes sure that the deploy hears how it ended."""
