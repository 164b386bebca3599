"""Several bodies at one moment of a recording."""
