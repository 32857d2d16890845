"""What `cdk destroy --all` leaves, and taking it away."""
