"""What the front door and the authorizer take themselves, each in a process of its own under
Lambda's own runtime interface client, against stand-ins for Lambda's runtime API and for AWS."""
