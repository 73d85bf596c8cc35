"""How every bundled file was made."""
