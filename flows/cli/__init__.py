"""The command line ``jko``: one module a command group, heavy imports inside commands."""
