"""A user's account at a venue: link, verify, limit, pause; and the mandates that let sources trade on it."""
