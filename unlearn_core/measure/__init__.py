"""What is measured of a network before it forgets: importances, layer inputs, recorded updates, units."""
