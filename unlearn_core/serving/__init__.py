"""From a choice to what a page shows of it, computed once for everybody."""
