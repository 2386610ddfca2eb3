"""What happens in a world: stories, workloads, nemesis, plans, and the checkers of the client history."""
