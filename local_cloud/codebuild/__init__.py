"""CodeBuild: StartBuild and StopBuild, and builds as processes of this machine."""
