"""The page of app.py: what it shows of a model, and the server that shows it."""
