"""What every stage uses and what knows of no stage: errors, console, processes, files."""
