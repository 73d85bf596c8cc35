"""What a model still knows, what forgetting cost, and what an attacker could tell."""
