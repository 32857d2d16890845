"""CloudFormation's requests about a custom resource: carried out, and answered whatever happens."""
