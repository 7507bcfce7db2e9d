"""databases.yaml, its variables, settings and URLs as records; imports only the modules beside the rooms."""
