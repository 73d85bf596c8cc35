"""The app's own parts: state, widgets, the live view and the server's routes. No maths here."""
