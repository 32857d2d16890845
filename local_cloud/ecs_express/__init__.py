"""ECS Express Gateway services: one task each, as a process, behind a front that speaks TLS."""
