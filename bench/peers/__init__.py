"""colxtr and its peers on the same embeddings: speed, quality, size, memory and time of building.

    setup.py     a virtual environment for each engine
    corpora.py   collections become embeddings: vectors, token ids, lengths, queries, the truth
    layout.py    the files of a corpus, and the engines and settings that are compared
    driver.py    one engine's process: JSON lines in, JSON lines out
    run_*.py     one engine's building, opening and searching
    compare.py   builds once, then searches with all engines in turn, and writes the results
    report.py    results become a table, curves, and the latency at equal recall

Nothing here is a dependency of colxtr, and nothing of colxtr but its public interface is measured.
"""
