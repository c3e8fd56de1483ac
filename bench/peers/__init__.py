"""colxtr and its peers on the same embeddings: speed, quality, size, memory and time of building.

    engines.py    the engines, their versions, how they build, the settings of their searches
    setup.py      a virtual environment for each
    layout.py     the files of a corpus of token embeddings
    corpora.py    collections become a corpus: vectors, token ids, lengths, queries, the truth
    complete.py   what a corpus made elsewhere lacks
    driver.py     one engine's process: JSON lines in, JSON lines out
    run_*.py      one engine's building, opening and searching
    processes.py  such a process from the outside
    compare.py    builds once, then searches with all engines in turn, and writes the results
    measures.py   recall, and the latency at equal recall
    report.py     results become a page and curves

Nothing here is a dependency of colxtr, and nothing of colxtr but its public interface is measured.
"""
