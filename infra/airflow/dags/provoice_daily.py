"""The daily DAG: new sources become utterances, utterances a release, and what people took back goes."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule, chain
from provoice_dag.daily_tasks import RELEASES, Check, Erase, Expiring, Plan, Release, Run, Snapshot
from provoice_dag.deployment import DAILY, settings

deployed = settings()
program = {"program": deployed.program}

with DAG("provoice_daily", doc_md=__doc__, **deployed.dag("daily", DAILY)):
    plan = Plan(task_id="plan", **program)
    run = Run(task_id="run", ray=deployed.ray, **program)
    check = Check(task_id="check", **program)
    # `check` is skipped where there was nothing to do; what stands in the lake is still looked at.
    go_on = {"trigger_rule": TriggerRule.NONE_FAILED, **program}
    snapshot = Snapshot(task_id="snapshot", **go_on)
    expiring = Expiring(task_id="expiring", **go_on)
    release = Release(task_id="release", outlets=[RELEASES], **go_on)
    # A person's withdrawal does not wait for a run that broke.
    erase = Erase(task_id="erase", trigger_rule=TriggerRule.ALL_DONE, **program)
    # Airflow judges a DAG run by its last tasks alone; this one stands for all of them.
    finish = EmptyOperator(task_id="finish", trigger_rule=TriggerRule.NONE_FAILED, retries=0)

    chain(plan, run, check, snapshot, [expiring, release], erase, finish)
    [plan, run, check, snapshot, expiring, release] >> finish
