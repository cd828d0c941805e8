"""The daily DAG's tasks, in the order in which they run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from provoice_dag import commands
from provoice_dag.alerts import tell
from provoice_dag.command_task import CommandTask, figures
from provoice_dag.commands import Words

RELEASES = AssetAlias("provoice-releases")


class Plan(CommandTask):
    """What the run would do, and, with prices, take and cost; over the budget it is refused. Figures are its result."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.plan(self.program, context["params"], self.run_name(context))

    def execute(self, context: Any) -> dict[str, Any]:
        found = figures(self.call(self.by_hand(context)).objects()[-1])
        self.log.info("planned: %s", found)
        return found


class Run(CommandTask):
    """The job. Its name comes from the DAG run's logical date, so a retry resumes it, and one that is done is read."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return self._words(context, "by-hand")

    def execute(self, context: Any) -> None:
        if context["params"]["run_on"] == "ray":
            self._on_ray(context)
            return
        # Whether it rejected too much is the next task's to say, also of a run that was resumed.
        self.call(self._words(context), ok=(0, 3), streams=True)

    def _words(self, context: Mapping[str, Any], attempt: str = "1") -> Words:
        return commands.run(self.program, context["params"], self.run_name(context), attempt, self.ray)

    def _on_ray(self, context: Any) -> None:
        params, name, attempt = context["params"], self.run_name(context), f"try{context['ti'].try_number}"
        if not params["ray_address"]:
            raise AirflowFailException("run_on is ray, so ray_address must say where the cluster takes jobs")
        self._stop = commands.stop_ray(params, name, attempt, self.ray)
        done = self.call(self._words(context, attempt), ok=range(-64, 256), streams=True)
        # Ray says only that a job failed, not with which exit code: the lake knows whether the run is done.
        if done.code:
            self.call(commands.check(self.program, params, name), ok=(0, 3))

    _stop: Words | None = None

    def on_kill(self) -> None:
        super().on_kill()
        if self._stop is not None:
            stop, self._stop = self._stop, None
            self.begin(stop)


class Check(CommandTask):
    """Every source is accounted for, and no more than may be was rejected; skipped where nothing was planned."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.check(self.program, context["params"], self.run_name(context))

    def execute(self, context: Any) -> dict[str, Any]:
        found = self.call(commands.runs(self.program, context["params"])).objects()
        name = self.run_name(context)
        left = [one["run_id"] for one in found if one["state"] == "unfinished" and one["run_id"] != name]
        if left:
            tell(f"runs that are not complete, and hold their sources: {', '.join(left)}; resume or close them")
        if name not in {one["run_id"] for one in found}:
            raise AirflowSkipException(f"there was nothing to do, so there is no run {name}")
        checked = figures(self.call(self.by_hand(context)).objects()[-1])
        self.log.info("checked: %s", checked)
        return checked


class Snapshot(CommandTask):
    """Folds what was committed, so that the lake opens quickly; the run has done so already unless that failed."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.snapshot(self.program, context["params"])

    def execute(self, context: Any) -> dict[str, Any]:
        return figures(self.call(self.by_hand(context)).objects()[-1])


class Expiring(CommandTask):
    """Tells how many grants end soon, and what stands on them; whose they are, `provoice sql` says."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.expiring(self.program, context["params"])

    def execute(self, context: Any) -> dict[str, Any]:
        found = figures(self.call(self.by_hand(context)).objects()[-1])
        if found["grants"]:
            lake, days = context["params"]["lake"], context["params"]["expiring_days"]
            tell(
                f"{lake}: {found['grants']} grants of {found['people']} people end within {days} days, the first at "
                f"{found['first_ends']}; {found['utterances']} utterances stand on them. Whose they are: "
                f'provoice sql {lake} "from expiring where days_left < {days}"'
            )
        return found


class Release(CommandTask):
    """The next version, where the choice has changed; an asset event names it for whoever trains on it."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.release(self.program, context["params"])

    def execute(self, context: Any) -> dict[str, Any]:
        params = context["params"]
        if not params["release"]:
            raise AirflowSkipException("no release is scheduled: the parameter `release` names none")
        if not params["use"]:
            raise AirflowFailException("the parameter `use` must say what the release is for")
        made = self.call(self.by_hand(context)).objects()[-1]
        found = {name: made[name] for name in ("name", "version", "sha256", "ledger_position", "created_at")}
        found["utterances"] = made["chosen"]["utterances"]
        # By its own date, not by whether this attempt made it: one that died in between has told nobody yet.
        if datetime.fromisoformat(made["created_at"]) >= context["dag_run"].start_date:
            asset = Asset(release_uri(params["lake"], params["release"]))
            context["outlet_events"][RELEASES].add(asset, extra=found)
        return found


class Erase(CommandTask):
    """What is due goes, whatever became of the tasks before. With `seals`, what a scan looks for is collected first."""

    def by_hand(self, context: Mapping[str, Any]) -> Words:
        return commands.erase(self.program, context["params"])

    def execute(self, context: Any) -> list[dict[str, Any]]:
        params = context["params"]
        if not params["erase"]:
            raise AirflowSkipException("the parameter `erase` is off")
        due = [one for one in self.call(commands.due(self.program, params)).objects() if one]
        if not due:
            self.log.info("nobody is due")
            return []
        if params["seals"]:
            self._seal(context, due)
        done = [figures(one) for one in self.call(self.by_hand(context)).objects() if one]
        for one in done:
            self.log.info("erased: %s", one)
            if not one.get("is_finished"):
                self.log.warning("not finished: the next run goes on after %s", one.get("again_at"))
        return done

    def _seal(self, context: Any, due: list[dict[str, Any]]) -> None:
        params, folder = context["params"], Path(context["params"]["seals"])
        for one in due:
            people = sorted(one["subjects"])
            digest = hashlib.sha256("\n".join(people).encode()).hexdigest()[:16]
            out = folder / f"{self.run_name(context)}-{digest}.seal"
            if not out.exists() and not out.with_name(f"{out.name}.keyed").exists():
                self.call(commands.seal(self.program, params, people, str(out)), is_shown=False)


def release_uri(lake: str, name: str) -> str:
    """The asset that a release is: `s3://voice/lake/releases/clean`, `file:///data/lake/releases/clean`."""
    base = lake if "://" in lake else f"file://{Path(lake).absolute()}"
    return f"{base.rstrip('/')}/releases/{name}"
