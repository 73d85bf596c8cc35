"""Programs to begin from; the tests run them."""
