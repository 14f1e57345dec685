"""Gradients checked: against numeric derivatives, and against gradients derived by hand."""
