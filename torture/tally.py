"""What a proof counts: how often which outcome, and everything that should not have been."""

from __future__ import annotations

from collections import Counter

SHOWN = 20  # problems kept in words; all are counted


class Tally:
    """Outcomes of one proof.

    Attributes:
        name: Of the proof.
        outcomes: How often what happened.
        problems: What must not happen, in words.
        n_problems: How many of these there were.
        most: The largest of some measurements, by name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        self.n_problems = 0
        self.most: dict[str, float] = {}

    def count(self, outcome: str, n: int = 1) -> None:
        """Note what happened."""
        self.outcomes[outcome] += n

    def problem(self, text: str) -> None:
        """Note what must not happen."""
        self.n_problems += 1
        if len(self.problems) < SHOWN:
            self.problems.append(text)

    def measured(self, name: str, value: float) -> None:
        """Note a measurement of which the largest counts."""
        self.most[name] = max(value, self.most.get(name, value))

    def merge(self, other: Tally) -> None:
        """Add the counts of another one."""
        self.outcomes += other.outcomes
        self.n_problems += other.n_problems
        self.problems = (self.problems + other.problems)[:SHOWN]
        for name, value in other.most.items():
            self.measured(name, value)

    def row(self) -> str:
        """A line of a Markdown table."""
        said = "; ".join(f"{name} {n:,}" for name, n in sorted(self.outcomes.items()))
        said += "".join(f"; {name}: {value:g}" for name, value in self.most.items())
        return f"| {self.name} | {said} | {self.n_problems} |"

    def check(self) -> None:
        """Raise `AssertionError` if anything went wrong, or if nothing was tried."""
        assert self.outcomes, f"{self.name}: nothing was tried"
        assert not self.n_problems, f"{self.n_problems} problems: " + "\n".join(self.problems)
