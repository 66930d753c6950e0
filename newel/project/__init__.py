"""What is on disk: SQL files and their statements, environments, the graph, the derived scripts."""
