"""What runs beside the pages: routes, the engine, the warm start."""
