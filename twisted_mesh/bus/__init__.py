"""Redis as the service registry and the configuration bus."""
