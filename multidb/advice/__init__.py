"""What is known of errors of the drivers and of refused connections: what was said, and the next step."""
