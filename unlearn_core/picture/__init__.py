"""The live picture: what its view is told, and one file of it that needs neither server nor network."""
