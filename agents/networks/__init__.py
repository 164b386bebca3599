"""Small networks that drive; each is a frozen configuration and a module built from it."""
