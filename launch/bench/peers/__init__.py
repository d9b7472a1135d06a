"""Steps of others, timed beside ours."""
