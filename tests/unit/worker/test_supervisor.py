"""Which worker processes belong to a queue?"""

from __future__ import annotations

from catalog.settings import Settings
from worker.supervisor import arguments_of, stages


def test_where_it_computes_each_picture_has_a_worker_with_a_name_of_its_own() -> None:
    made = stages(["generate", "finish"], Settings(generate_concurrency=8), 3)

    assert [(one.queue, one.concurrency) for one in made] == [("generate", 3), *[("finish", 1)] * 3]
    names = {words[words.index("-n") + 1] for words in (arguments_of(one, "info") for one in made)}
    assert len(names) == len(made)
