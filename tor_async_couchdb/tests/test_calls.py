import contextvars

from tor_async_couchdb.calls import Call, callers, context_for

_WHO = contextvars.ContextVar("who", default="nobody")


def context_of(who: str) -> contextvars.Context:
    context = contextvars.Context()
    context.run(_WHO.set, who)
    return context


def test_method_is_the_first_word_of_the_operation() -> None:
    assert Call("POST /{db}/_bulk_get", "fruits", "couch", 5984).method == "POST"


def test_call_for_one_is_made_in_its_context() -> None:
    context = context_of("a")
    assert context_for([context]) is context
    assert context.get(callers) is None


def test_call_for_several_belongs_to_none_of_them_and_knows_all() -> None:
    contexts = [context_of("a"), context_of("b")]
    shared = context_for(contexts)
    assert shared.run(_WHO.get) == "nobody"
    assert shared[callers] == contexts


def test_call_for_what_is_itself_for_several_knows_all_of_them() -> None:
    first, second, third = (context_of(who) for who in "abc")
    pair = context_for([first, second])
    assert context_for([pair, third])[callers] == [first, second, third]
