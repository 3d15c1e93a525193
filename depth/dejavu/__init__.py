"""DejaVu: edits, regeneration modules, losses and the branch that joins them."""
