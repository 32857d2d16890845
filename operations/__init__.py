"""What the person who runs the app asks an account: before a deploy, and after the last destroy."""
