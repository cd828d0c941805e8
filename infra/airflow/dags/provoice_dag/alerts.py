"""Who is told when a task has failed for good, and with which words: the command that does it again stands in them."""

from __future__ import annotations

import json
import logging
import shlex
import urllib.request
from typing import Any

from airflow.sdk import Variable

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 10.0
URL_VARIABLE = "provoice_alert_url"


def on_failure(context: Any) -> None:
    """For a task without a retry left. What the exception said is left to the log: it may name people."""
    instance, task = context["ti"], context["task"]
    lines = [f"{instance.dag_id}: task {instance.task_id} failed ({context['run_id']})"]
    words = task.by_hand(context) if hasattr(task, "by_hand") else None
    if words:
        lines += ["this does it again:", shlex.join(words)]
    lines.append(f"or clear the task in Airflow: {getattr(instance, 'log_url', '')}")
    tell("\n".join(lines), logging.ERROR)


def tell(text: str, level: int = logging.WARNING) -> None:
    """Into the log, and as `{"text": …}` to the webhook that the Airflow variable `provoice_alert_url` names."""
    _LOG.log(level, "%s", text)
    url = Variable.get(URL_VARIABLE, default=None)
    if not url:
        return
    request = urllib.request.Request(
        url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass
    except (OSError, ValueError) as error:
        # Whoever is to be told cannot be reached; that must not fail a task, nor hide why one has failed.
        _LOG.warning("the webhook in the variable %s was not told: %s", URL_VARIABLE, type(error).__name__)
