"""Maps of features: fitted beforehand, placed on, or fitted anew."""
