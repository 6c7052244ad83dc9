"""Train a policy and compare it with the heuristics: see ``python train.py --help``."""

from psgym.agents.cli import main

if __name__ == "__main__":
    main()
