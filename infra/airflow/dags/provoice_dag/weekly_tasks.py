"""The weekly DAG's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from provoice_dag import commands
from provoice_dag.command_task import CommandTask, figures
from provoice_dag.commands import Words


class CollectGarbage(CommandTask):
    """What nobody names any more goes; safe beside runs, releases and readers."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.gc(self.program, context["params"])

    def execute(self, context: Any) -> dict[str, Any]:
        return figures(self.call(self.by_hand(context)).objects()[-1])


class VerifyAudit(CommandTask):
    """Certificates and audit rows still hold; which do, and which do not, goes to the log."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.audit_verify(self.program, context["params"])

    def execute(self, context: Any) -> None:
        self.call(self.by_hand(context), streams=True)


class Scan(CommandTask):
    """Looks for every seal through every byte. One that is found fails the task, when all have been looked for."""

    def by_hand(self, context: Mapping[str, Any]) -> Words | None:
        left = _seals(context)
        return commands.scan(self.program, context["params"], left[0]) if left else None

    def execute(self, context: Any) -> dict[str, Any]:
        seals = _seals(context)
        if not seals:
            raise AirflowSkipException("there is no seal: the parameter `seals` names no folder with any")
        codes = {}
        for one in seals:
            done = self.call(commands.scan(self.program, context["params"], one), ok=(0, 1, 4))
            self.log.info("%s: exit code %d, %s", one, done.code, [figures(each) for each in done.objects()])
            codes[Path(one).name] = done.code
        for code in (4, 1):
            if code in codes.values():
                raise self.failure(commands.scan(self.program, context["params"], seals[0]), code)
        return {"seals": len(codes)}


class Report(CommandTask):
    """The lake on one page; it lies in the lake, and its path is this task's result."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.report(self.program, context["params"])

    def execute(self, context: Any) -> str:
        return self.call(self.by_hand(context)).stdout.strip()


def _seals(context: Mapping[str, Any]) -> list[str]:
    folder = context["params"]["seals"]
    return sorted(str(path) for end in ("*.seal", "*.seal.keyed") for path in Path(folder or "/nowhere").glob(end))
