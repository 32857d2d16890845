"""The queue's function: pictures on real-time endpoints, requests to asynchronous ones, bulk jobs'
beginnings."""
