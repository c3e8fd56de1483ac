"""How good is a run, and what does each method cost and give? The room of measures.

    evaluate(run, qrels, measures)     measures.py: runs and judgements into figures
    compare(corpus, output, settings)  compare.py: every method at every bit width, side by side

Nothing that indexes or searches imports it. ir-measures, bm25s, matplotlib and scann are imported
when they are used (extras `eval` and `scann`).
"""
