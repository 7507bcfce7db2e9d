"""What a run does while it goes on, shown to the person who waits; imports `release`, which does not know of it."""
