"""Every known difference between the job servers, in one table.

gearmand's behaviour is the standard; its own entries say where ours is meant to do better, and why. An entry
is checked whenever its cases run: they have to fail on that server, and to show `seen`.

`python -m tests.conformance.differences` prints the table as Markdown, and puts gearmand's part into
docs/moving-from-gearmand.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

C: Final = "gearmand-c"
PERL: Final = "gearmand-perl"


@dataclass(frozen=True)
class Difference:
    """One thing that a server does in its own way, and the cases that show it.

    Args:
        server: the kind of job server.
        why: the reason that it is a difference, in a sentence.
        instead: what that server does instead, to go after "it".
        seen: what a failed case's message shows of that, as a regular expression.
        cases: the names of the cases without `test_`; with `[…]` for one variant, without for all of them.
    """

    server: str
    why: str
    instead: str
    seen: str
    cases: tuple[str, ...]


def _variants(case: str, *variants: str) -> tuple[str, ...]:
    return tuple(f"{case}[{variant}]" for variant in variants)


_UNKNOWN_FORMS: Final = ("SUBMIT_JOB_LOW", "SUBMIT_JOB_HIGH_BG", "SUBMIT_JOB_LOW_BG")

TABLE: Final = (
    # gearmand (C)
    Difference(
        C,
        "A job that had its turn and lost its worker should not wait for all the others once more.",
        "puts it at the end of its queue",
        r"At index 0 diff: b'H:",
        ("a_returned_job_is_the_next_to_be_grabbed", "several_returned_jobs_keep_their_order"),
    ),
    Difference(
        C,
        "Waking one worker for one job is enough, and waking them all is what a large pool dies of.",
        "wakes every sleeping worker of the function",
        r"3 of 3 sleeping workers were woken",
        ("one_sleeping_worker_is_woken_for_one_job",),
    ),
    Difference(
        C,
        "No job waits while a worker that can do it sleeps, also if the worker learns it in its sleep.",
        "sends no NOOP for an ability announced after PRE_SLEEP",
        r"expected NOOP\(\): a packet did not come in time",
        ("an_ability_announced_in_sleep_wakes_for_waiting_work",),
    ),
    Difference(
        C,
        "A handle is followed by nothing in WORK_FAIL; clients that compare it would not find their job.",
        "leaves a NUL behind the handle of the WORK_FAIL that stands for an exception",
        r"got WORK_FAIL\(b'H:[^']*\\x00'\)",
        ("a_client_that_did_not_ask_gets_a_fail_for_an_exception",),
    ),
    Difference(
        C,
        "The protocol has the packet, and there is a use for it.",
        "refuses SUBMIT_JOB_SCHED with INVALID_COMMAND",
        r"expected JOB_CREATED\(.*got ERROR\(b'INVALID_COMMAND', b'Command not expected'\)",
        ("a_job_by_the_calendar_is_queued",),
    ),
    Difference(
        C,
        "A worker that sleeps when a delayed job falls due has to hear of it; later versions do so too.",
        "sends no NOOP then, so that the job waits for the next submission",
        r"expected NOOP\(\): a packet did not come in time",
        ("a_job_that_falls_due_wakes_a_sleeping_worker",),
    ),
    Difference(
        C,
        "There is nothing to grab before a delayed job falls due, so nobody has to be woken.",
        "sends a NOOP when the job is submitted",
        r"got NOOP\(\)",
        ("a_job_that_is_not_due_wakes_nobody",),
    ),
    Difference(
        C,
        "A background submission was promised that the job runs, whoever else waits for it.",
        "drops the queued job when its last foreground client goes",
        r"expected JOB_ASSIGN\(\), got NO_JOB\(\)",
        ("a_background_submission_keeps_the_job_it_attached_to",),
    ),
    Difference(
        C,
        "A job that nobody waits for is dropped, not hidden until a worker comes by.",
        "keeps it in `status` and GET_STATUS until a worker comes to it",
        r"assert b'1' == b'0'",
        ("a_dropped_job_is_forgotten",),
    ),
    Difference(
        C,
        "A submission is never attached to a job that will not run.",
        "attaches it to the dropped job, and the client waits for ever",
        r"expected JOB_ASSIGN\(\), got NO_JOB\(\)",
        ("a_submission_with_the_unique_of_a_dropped_job_is_run",),
    ),
    Difference(
        C,
        "A unique of 64 bytes is within the limit.",
        "accepts it but keeps 63 bytes of it, so that it never coalesces",
        r"assert b'H:[^']*' == b'H:",
        ("a_unique_of_64_bytes_is_taken",),
    ),
    Difference(
        C,
        "An ability announced twice is still one ability of one worker.",
        "counts the worker twice in `status`",
        r"\(0, 0, 2\) == \(0, 0, 1\)",
        ("a_function_announced_twice_counts_once",),
    ),
    Difference(
        C,
        "A worker that takes no more jobs of a function can still end the one it has.",
        "puts the running job back into its queue and refuses its result",
        r"got ERROR\(b'JOB_NOT_FOUND'",
        ("a_running_job_may_end_after_its_function_was_withdrawn",),
    ),
    Difference(
        C,
        "A packet of unknown type is complete all the same, so there is no need to end the connection.",
        "closes the connection without a word",
        r"closed the connection",
        ("a_type_out_of_range_is_refused",),
    ),
    Difference(
        C,
        "Nothing that one peer sends may harm another.",
        "takes the type for a negative number and crashes",
        r"closed the connection",
        ("a_type_of_32_bits_harms_nobody_else",),
    ),
    Difference(
        C,
        "A packet that lacks arguments is malformed, whatever comes after it.",
        "waits and takes the bytes of the next packet for the missing arguments",
        r"expected ERROR\(.*\): a packet did not come in time",
        ("a_submission_that_lacks_arguments_is_refused",),
    ),
    Difference(
        C,
        "The protocol's page defines `shutdown`; gearmand 1.1.20 as Debian builds it does not know the word.",
        "answers `ERR UNKNOWN_COMMAND` and goes on",
        r"ERR UNKNOWN_COMMAND|assert b'ERR UNKNOWN",
        (
            "shutdown_ends_the_server_with_jobs_in_its_queue",
            "a_graceful_shutdown_ends_an_idle_server",
            "a_graceful_shutdown_lets_the_last_job_end",
        ),
    ),
    Difference(
        C,
        "A cancelled job is gone, and its unique is free for the next submission.",
        "keeps it in `status` and GET_STATUS until a worker comes to it, and attaches submissions to it",
        r"assert b'1' == b'0'|assert b'H:[^']*' != b'H:",
        (
            "a_cancelled_job_is_forgotten",
            "a_unique_is_free_when_its_job_was_cancelled",
        ),
    ),
    Difference(
        C,
        "A client hears of its job's end once.",
        "sends WORK_FAIL for a running job that was cancelled, and its result later on",
        r"got WORK_COMPLETE\(",
        ("the_worker_of_a_cancelled_job_may_end_it",),
    ),
    Difference(
        C,
        "A line may end in LF, here as everywhere.",
        "cuts a letter off the name of `create function` unless the line ends in CRLF",
        r"assert b'function-",
        _variants("a_created_function_is_in_status", "LF"),
    ),
    Difference(
        C,
        "Functions whose names differ in case are two functions.",
        "drops the one when the other is named",
        r"assert b'OK",
        ("a_function_is_dropped_by_its_name_alone",),
    ),
    Difference(
        C,
        "A job whose function was dropped can't run, so its client is told, and it is nowhere any more.",
        "keeps the jobs without their function, and their clients wait for ever",
        r"assert \[b'H:",
        ("a_dropped_function_takes_its_jobs_along",),
    ),
    Difference(
        C,
        "A word too many is no reason to end an administrator's connection.",
        "closes the connection",
        r"closed the connection",
        ("maxqueue_with_too_many_limits_takes_the_first_three",),
    ),
    Difference(
        C,
        "A client that waits for one function need not read about thousands of others.",
        "ignores what follows `status`",
        r"At index 0 diff: |Left contains \d+ more item|equals failed|^assert \[",
        ("status_of_one_function_is_its_line_alone",),
    ),
    Difference(
        C,
        "What is logged can be changed while the server runs.",
        "ignores what follows `verbose`",
        r"assert b'OK [A-Z]+\\n' == b'OK DEBUG|assert False",
        ("verbose_changes_how_much_is_logged", "verbose_of_no_level_changes_nothing"),
    ),
    Difference(
        C,
        "Nobody can fake a line of an administrator's list with a name.",
        "writes line ends in names and client ids as they are",
        r"assert \d == 1",
        ("a_name_with_a_line_end_fakes_no_line",),
    ),
    Difference(
        C,
        "A job of high priority goes before all others that its worker can do; gearmand of 2026 does so too.",
        "serves the newest function first, and priorities only within it",
        r"At index 1 diff: .*b'normal'",
        ("priorities_hold_over_all_functions_of_a_worker",),
    ),
    Difference(
        C,
        "The result of the only worker that has the job is taken, though it is late: the job ends.",
        "refuses it with JOB_NOT_FOUND, and hands the job out again",
        r"got ERROR\(b'JOB_NOT_FOUND'",
        ("a_late_result_is_taken_while_its_job_waits",),
    ),
    # Gearman::Server (Perl)
    Difference(
        PERL,
        "It knows neither jobs of low priority nor background jobs of high priority.",
        "answers ERROR `server_error`",
        r"got ERROR\(b'server_error', .*CMD_",
        (
            *_variants("a_submission_is_answered_with_its_handle", *_UNKNOWN_FORMS),
            *_variants("a_worker_grabs_what_was_submitted", *_UNKNOWN_FORMS),
            *_variants("a_foreground_client_gets_the_result", "SUBMIT_JOB_LOW"),
            *_variants("a_background_client_gets_nothing_more", "SUBMIT_JOB_HIGH_BG", "SUBMIT_JOB_LOW_BG"),
            *_variants("every_form_of_submission_wakes", *_UNKNOWN_FORMS),
            *_variants("a_submission_of_another_priority_attaches", "SUBMIT_JOB_LOW"),
            "a_higher_priority_is_grabbed_first",
            "priorities_hold_over_all_functions_of_a_worker",
            "a_returned_job_keeps_its_priority",
            "maxqueue_limits_each_priority",
        ),
    ),
    Difference(
        PERL,
        "It knows no GRAB_JOB_UNIQ and no GRAB_JOB_ALL.",
        "answers ERROR `server_error`",
        r"got ERROR\(b'server_error', .*CMD_",
        (
            "every_packet_type_there_is",
            *_variants("no_job_without_abilities", "GRAB_JOB_UNIQ", "GRAB_JOB_ALL"),
            *_variants("no_job_without_jobs", "GRAB_JOB_UNIQ", "GRAB_JOB_ALL"),
            "the_other_grabs_assign_with_the_unique",
        ),
    ),
    Difference(
        PERL,
        "It knows no delayed jobs.",
        "answers ERROR `server_error`",
        r"got ERROR\(b'server_error', .*CMD_",
        (
            "a_job_for_the_past_is_assigned_at_once",
            "a_job_is_not_assigned_before_its_time",
            "a_job_that_is_not_due_wakes_nobody",
            "a_job_that_falls_due_wakes_a_sleeping_worker",
            "a_job_that_is_not_due_lets_others_pass",
            "a_worker_sleeps_beside_a_job_that_is_not_due",
            "a_job_that_is_not_due_counts_as_queued",
            "a_job_that_is_not_due_coalesces",
        ),
    ),
    Difference(
        PERL,
        "It knows no map-reduce jobs.",
        "answers ERROR `server_error`",
        r"got ERROR\(b'server_error', .*CMD_",
        (
            "grab_job_all_assigns_the_reducer",
            "the_other_grabs_assign_without_the_reducer",
            "a_reduce_job_in_the_foreground_reports_to_its_client",
            "a_reduce_job_in_the_background_reports_to_nobody",
            "reduce_jobs_coalesce",
        ),
    ),
    Difference(
        PERL,
        "It knows no GET_STATUS_UNIQUE.",
        "answers ERROR `server_error`",
        r"got ERROR\(b'server_error', .*CMD_",
        (
            "an_unknown_unique_is_not_known",
            "a_job_is_found_by_its_unique",
            "a_status_by_unique_counts_the_waiting_clients",
        ),
    ),
    Difference(
        PERL,
        "It knows no WORK_DATA and no WORK_WARNING.",
        "answers the worker with ERROR `server_error` and tells the clients nothing",
        r"got ERROR\(b'server_error', .*CMD_|expected WORK_(DATA|WARNING)\(",
        (
            *_variants("every_event_reaches_every_client_of_the_job", "WORK_DATA", "WORK_WARNING"),
            *_variants("an_event_ends_the_job_or_does_not", "WORK_DATA", "WORK_WARNING"),
            *_variants("an_event_may_be_empty", "WORK_DATA", "WORK_WARNING"),
            "events_come_in_the_order_they_were_sent",
            "data_of_a_megabyte_passes_unchanged",
        ),
    ),
    Difference(
        PERL,
        "What it does not know it names in its own way, as the error of a Perl method that is missing.",
        "answers ERROR `server_error` with Perl's message",
        r"expected ERROR\(b'(INVALID_COMMAND|JOB_NOT_FOUND)'.*got ERROR\(b'server_error', .*CMD_",
        (
            "a_packet_that_only_servers_send_is_refused",
            "the_type_that_was_never_given_out_is_refused",
            "a_type_out_of_range_is_refused",
            "all_yours_is_refused",
            *_variants("an_event_for_an_unknown_handle_is_refused", "WORK_DATA", "WORK_WARNING"),
        ),
    ),
    Difference(
        PERL,
        "The protocol has the packet, and there is a use for it.",
        "answers ERROR `server_error` with Perl's message",
        r"expected JOB_CREATED\(.*got ERROR\(b'server_error'",
        ("a_job_by_the_calendar_is_queued",),
    ),
    Difference(
        PERL,
        "Its error codes are its own.",
        "answers ERROR `not_worker` or `unknown_option`, without a sentence",
        r"got ERROR\(b'(not_worker|unknown_option)', b''\)",
        (
            *_variants(
                "an_event_for_an_unknown_handle_is_refused",
                *("WORK_STATUS", "WORK_COMPLETE", "WORK_FAIL", "WORK_EXCEPTION"),
            ),
            "an_unknown_option_is_refused",
        ),
    ),
    Difference(
        PERL,
        "It knows the option in lower case alone.",
        "answers ERROR `unknown_option`",
        r"got ERROR\(b'unknown_option', b''\)",
        _variants("a_client_that_asked_for_exceptions_gets_them", "EXCEPTIONS", "Exceptions"),
    ),
    Difference(
        PERL,
        "To it an exception is one more event, and a WORK_FAIL or WORK_COMPLETE still has to follow.",
        "passes the exception on to those who asked, and lets the job run on",
        r"assert b'1' == b'0'|expected WORK_FAIL\(.*\): a packet did not come in time",
        (
            *_variants("an_event_ends_the_job_or_does_not", "WORK_EXCEPTION"),
            "a_client_that_did_not_ask_gets_a_fail_for_an_exception",
            "an_exception_ends_a_job_whoever_hears_of_it",
        ),
    ),
    Difference(
        PERL,
        "A job whose worker disconnects has failed, to it.",
        "sends WORK_FAIL to the clients and forgets the job",
        r"got (NO_JOB\(\)|WORK_FAIL\()|\(0, 0, 0\) == \(1, 0, 0\)|expected NOOP\(\): a packet did not come",
        (
            "a_job_returns_to_the_queue_when_its_worker_disconnects",
            "a_background_job_returns_as_well",
            "a_returned_job_is_the_next_to_be_grabbed",
            "several_returned_jobs_keep_their_order",
            "a_job_given_back_has_no_numbers",
            "a_job_given_back_wakes_another_worker",
        ),
    ),
    Difference(
        PERL,
        "It takes the time-out for seconds, and a job that takes longer has failed.",
        "gives the job to nobody else before 1,000 or 30 seconds are over, and ends it at once for a zero",
        r"expected NOOP\(\): a packet did not come in time|got WORK_FAIL\(",
        (
            "a_job_that_takes_too_long_goes_to_another_worker",
            "a_time_out_of_zero_is_none",
        ),
    ),
    Difference(
        PERL,
        "It takes the time-out for seconds.",
        "gives the job to nobody else before 1,000 seconds are over",
        r"waited 5 s in vain until its time is over",
        ("a_late_result_is_taken_while_its_job_waits",),
    ),
    Difference(
        PERL,
        "It keeps abilities in a hash.",
        "serves and lists them in no order, and starts each grab at another one",
        r"function-",
        ("the_newest_ability_is_served_first", "workers_lists_abilities_newest_first"),
    ),
    Difference(
        PERL,
        "It wakes three workers for a job, and more a tenth of a second later, unless told otherwise.",
        "sends a NOOP to each of three sleeping workers",
        r"3 of 3 sleeping workers were woken",
        ("one_sleeping_worker_is_woken_for_one_job",),
    ),
    Difference(
        PERL,
        "To it a worker sleeps until it is woken, whatever it does meanwhile.",
        "sends a NOOP to a worker that grabbed after its PRE_SLEEP",
        r"got NOOP\(\)",
        ("a_worker_that_grabbed_is_awake",),
    ),
    Difference(
        PERL,
        "It looks for waiting work when a worker goes to sleep and not again.",
        "sends no NOOP for an ability announced after PRE_SLEEP",
        r"expected NOOP\(\): a packet did not come in time",
        ("an_ability_announced_in_sleep_wakes_for_waiting_work",),
    ),
    Difference(
        PERL,
        "It keeps the job until a worker comes to it.",
        "shows the dropped job in `status` and GET_STATUS until then",
        r"assert b'1' == b'0'",
        ("a_dropped_job_is_forgotten",),
    ),
    Difference(
        PERL,
        "It keeps uniques and the workloads that stand for them in one table, and takes any.",
        "coalesces empty workloads, and a workload with a unique of the same text",
        r"assert b'H:[^']*' != b'H:",
        (
            "a_dash_with_an_empty_workload_never_coalesces",
            "a_workload_as_unique_is_no_unique_of_the_same_text",
        ),
    ),
    Difference(
        PERL,
        "It knows no limit to the length of a unique.",
        "accepts the job",
        r"expected ERROR\(b'ARGUMENT_TOO_LARGE'.*got (JOB_CREATED\(|ERROR\(b'server_error')",
        ("a_unique_of_more_than_64_bytes_is_refused",),
    ),
    Difference(
        PERL,
        "It has no numbers for a job before the worker sent some.",
        "leaves numerator and denominator empty",
        r"numerator: b'' != b'0'",
        ("the_numbers_are_zeros_until_a_worker_sends_some",),
    ),
    Difference(
        PERL,
        "It waits for bytes that make sense.",
        "keeps the connection open and answers nothing any more",
        r"a packet did not come in time|kept the connection open",
        ("a_response_sent_to_the_server_is_refused", "a_magic_that_is_none_ends_the_connection"),
    ),
    Difference(
        PERL,
        "A full queue makes room for what is new.",
        "drops the job at the queue's end with WORK_FAIL and takes the new one",
        r"expected ERROR\(b'QUEUE_ERROR'.*got WORK_FAIL\(",
        (
            "maxqueue_limits_the_jobs_of_a_function",
            "maxqueue_zero_lifts_the_limit",
            "maxqueue_lets_a_coalescing_submission_in",
        ),
    ),
    Difference(
        PERL,
        "A client that waits for one function need not read about thousands of others.",
        "ignores what follows `status`",
        r"At index 0 diff: |Left contains \d+ more item|equals failed|^assert \[",
        ("status_of_one_function_is_its_line_alone",),
    ),
    Difference(
        PERL,
        "It knows no `getpid`.",
        "answers `ERR unknown_command`",
        r"ERR unknown_command",
        ("getpid_is_ok_and_the_process",),
    ),
    Difference(
        PERL,
        "Its text answers are worded and ended in its own way.",
        "answers the bare version, `OK` with LF, `ERR unknown_command` and `ERR incomplete_args`, and puts a "
        "space behind the colon of `workers` in any case",
        r"v1\.|b'OK\\n' == |b'ERR (unknown_command|incompl)| :\s\\n",
        (
            "version_is_ok_and_the_version",
            "maxqueue_is_acknowledged_in_a_line_that_ends_in_crlf",
            "an_unknown_word_is_named_in_the_answer",
            "an_empty_line_is_an_unknown_word",
            "maxqueue_without_a_function_is_incomplete",
            "workers_lists_plain_clients_too",
        ),
    ),
)

DIFFERENCES: Final[dict[tuple[str, str], Difference]] = {
    (case, difference.server): difference for difference in TABLE for case in difference.cases
}
"""The table by case and server."""


def markdown(server: str = "") -> str:
    """The table for people, a row for each difference, of one server if it is named."""
    rows = ["| Server | Why it differs | What it does instead | Cases |", "| --- | --- | --- | --- |"]
    for difference in TABLE:
        if server not in ("", difference.server):
            continue
        cases = dict.fromkeys(case.partition("[")[0].replace("_", " ") for case in difference.cases)
        cells = (_TITLES[difference.server], difference.why, f"It {difference.instead}.", "; ".join(cases))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


_TITLES: Final = {C: "gearmand (C)", PERL: "Gearman::Server (Perl)"}


def update(text: str) -> str:
    """A document with gearmand's differences between its marks as they are now."""
    begin, end = "<!-- differences:begin -->\n", "<!-- differences:end -->"
    head, _, rest = text.partition(begin)
    return f"{head}{begin}{markdown(C)}\n{end}{rest.partition(end)[2]}"


DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "moving-from-gearmand.md"


if __name__ == "__main__":
    DOCUMENT.write_text(update(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    print(markdown())
