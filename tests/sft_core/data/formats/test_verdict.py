"""What a source was taken for, and why, summed over shards."""

from sft_core.data.formats import describe_verdict, total_verdict
from sft_core.data.formats.dialects import DIALECTS
from sft_core.data.formats.matching import DialectMatch, match_dialect
from sft_core.data.formats.verdict import verdict_of


def match(*columns: str) -> DialectMatch:
    found = match_dialect(columns, "auto")
    assert found is not None
    return found


MATCHES = {match("messages", "text"): 3, match("messages", "id"): 1, match("query", "response"): 2}
VERDICT = {
    "formats": {"messages": 4, "question_answer": 1},
    "columns": {"messages": {"`messages`": 4}, "question_answer": {"`query`, `response`": 2}},
    "considered": {"messages": 4, "text": 3, "question_answer": 2},
}


def test_a_verdict_says_by_which_columns_and_what_else_fitted() -> None:
    assert verdict_of(MATCHES, {"question_answer": 1, "messages": 4}) == VERDICT


def test_verdicts_of_shards_add_up() -> None:
    assert total_verdict([VERDICT, VERDICT, verdict_of({}, {})]) == {
        "formats": {"messages": 8, "question_answer": 2},
        "columns": {"messages": {"`messages`": 8}, "question_answer": {"`query`, `response`": 4}},
        "considered": {"messages": 8, "text": 6, "question_answer": 4},
    }


def test_a_verdict_in_words() -> None:
    assert describe_verdict(VERDICT, 1) == (
        "4 rows are messages (conversational language modelling: `messages`; recognized by `messages`); "
        "1 rows are question_answer (prompt-completion under other names: `question` and `answer`, …; "
        "recognized by `query`, `response`); 3 would also fit text; 1 rows rejected"
    )
    assert describe_verdict({"formats": {}}, 0) == "no rows"


def test_every_dialect_describes_itself() -> None:
    words = describe_verdict({"formats": {dialect.name: 1000 + n for n, dialect in enumerate(DIALECTS)}}, 0)
    assert all(f"rows are {dialect.name} ({dialect.description})" in words for dialect in DIALECTS)
