"""A network with its images and every reference there is for it: bundled, or one's own."""
