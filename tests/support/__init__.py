"""What the tests are made of: a project, its server, and what may happen to both."""
