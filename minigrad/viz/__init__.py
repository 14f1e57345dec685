"""Pictures of computation graphs, and the page that steps through a backward pass."""
