"""What runs inside CodeBuild, and in the containers that it starts. Never at synth."""
