"""What an answer of the OpenAI API must be, and what is said when it is not.

One row for each law: how much it weighs and the words for breaking it. A ``difference`` is what some client cannot
read as it reads OpenAI; a ``note`` is what every known client bears. ``{}`` stands for the first thing that was
wrong, ``{subject}`` for what it is about.
"""

from __future__ import annotations

from attrs import frozen

from proxy.compare.record import Fault, Level


@frozen
class Law:
    level: Level
    words: str


def _must(words: str) -> Law:
    return Law("difference", words)


def _should(words: str) -> Law:
    return Law("note", words)


LAWS = {
    # The answer as a whole.
    "no_answer": _must("there is no answer: {}"),
    "cut": _must("the answer breaks off: {}"),
    "content_type": _must("the content type is {}"),
    "encoded": _must("the body is compressed ({}) although that was not accepted"),
    "not_streamed": _should("the stream has a Content-Length, so it was complete before it was sent"),
    "not_json": _must("the body is not JSON: {}"),
    "not_object": _must("the body is no JSON object"),
    # The bytes of an event stream.
    "no_events": _must("there is no event in the stream"),
    "byte_order_mark": _must("the stream begins with a byte order mark"),
    "carriage_return": _must("lines end with a carriage return"),
    "no_space": _must("there is no space after “data:”"),
    "event_line": _must("a frame has an event: line ({})"),
    "id_line": _must("a frame has an id: line"),
    "retry_line": _must("a frame has a retry: line"),
    "no_field": _must("a line is no field of an event stream: {}"),
    "several_data_lines": _must("a frame has several data: lines"),
    "empty_data": _must("a data: line is empty"),
    "comment_in_frame": _must("a comment stands inside a frame"),
    "comment": _should("there are comments, such as keep-alives"),
    "extra_blank_line": _must("more than one blank line stands between frames"),
    "no_blank_line": _must("no blank line ends the last frame"),
    "torn": _must("the stream stops in the middle of a frame"),
    "overlong": _must("a frame is too long to be read"),
    "not_utf8": _must("a frame is not valid UTF-8"),
    "line_ends": _should("a frame holds U+2028, U+2029 or U+0085 unescaped, where some clients split lines"),
    # The frames of a chat stream.
    "chunk_not_json": _must("a frame is not JSON: {}"),
    "chunk_not_object": _must("a frame is no JSON object"),
    "error_in_stream": _must("the stream tells an error: {}"),
    "missing": _must("{subject} is missing {}"),
    "type": _must("{subject} is {}"),
    "object": _must("object is {}"),
    "id_changes": _must("the id changes"),
    "id_empty": _must("the id is empty"),
    "id_prefix": _should("the id does not begin with chatcmpl-"),
    "created_changes": _must("created changes"),
    "model_changes": _must("the model's name changes"),
    "choice_index": _must("a choice has the index {} although one answer was asked for"),
    "several_choices": _must("a frame has several choices"),
    "no_choices": _must("a frame has neither a choice nor usage"),
    "no_role": _must("no delta has a role"),
    "role_late": _must("the role comes after the first delta"),
    "role_again": _must("the role is told again"),
    "role": _must("the role is {}"),
    "content_null": _must("content is null after the first delta"),
    "half_character": _must("half a surrogate pair stands alone in a delta"),
    "replaced_character": _should("the text holds U+FFFD, where a character was lost"),
    "reasoning_late": _should("reasoning comes after the answer has begun"),
    "finish_missing": _must("no finish_reason is told"),
    "finish_again": _must("finish_reason is told twice"),
    "finish_value": _must("finish_reason is {}"),
    "finish_with_words": _must("the delta beside finish_reason is not empty"),
    "finish_of_calls": _must("finish_reason is {} after a tool call"),
    "calls_missing": _must("finish_reason is tool_calls, but nothing is called"),
    "after_finish": _must("a delta follows finish_reason"),
    "call_index": _must("tool calls are not numbered 0, 1, 2 …: {}"),
    "call_start": _must("a tool call begins without its {}"),
    "call_again": _must("a later piece of a tool call tells its {} again"),
    "call_arguments": _must("the arguments of a tool call are no JSON object: {}"),
    "usage_missing": _must("usage was asked for and is not told"),
    "usage_unasked": _must("a usage frame comes although none was asked for"),
    "usage_again": _must("there are two usage frames"),
    "usage_early": _must("the usage frame comes before finish_reason"),
    "usage_with_choices": _must("usage is told in a frame that has choices"),
    "usage_sum": _must("total_tokens is not the sum of the others: {}"),
    "usage_negative": _should("a count of tokens is negative, which clients add up"),
    "after_usage": _must("a frame with choices follows the usage frame"),
    "done_missing": _must("the stream ends without [DONE]"),
    "done_spelling": _must("[DONE] is not spelled exactly"),
    "after_done": _must("something follows [DONE]"),
}


def words(fault: Fault) -> str:
    """What is wrong, in one line."""
    text = LAWS[fault.code].words.format(fault.detail, subject=fault.subject).strip()
    return f"{text} ({fault.count} times)" if fault.count > 1 else text
