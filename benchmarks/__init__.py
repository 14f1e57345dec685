"""How fast minigrad is: against hand-written NumPy, and against peers where they are installed.

    python -m benchmarks                  everything, some minutes
    python -m benchmarks step minibatch   only these
    python -m benchmarks --quick          seconds; shows that it runs, not how fast
    python -m benchmarks --results        writes RESULTS.md too: goals and tables, with machine, versions and date
    python -m benchmarks --json FILE      writes the figures too
    python -m benchmarks --plot           draws scaling.svg: a step's time against batch, width, vocabulary, depth

Each benchmark runs in a process of its own, as the number of threads must be set before NumPy is loaded.
"""
