"""What a user asks of the compiler: options with their defaults, and the published recipes."""
