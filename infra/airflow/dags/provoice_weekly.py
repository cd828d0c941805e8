"""The weekly DAG: a lake is swept, its audit rows verified, looked through for what should be gone, and reported."""

from __future__ import annotations

from airflow.sdk import DAG
from provoice_dag.deployment import WEEKLY, settings
from provoice_dag.weekly_tasks import CollectGarbage, Report, Scan, VerifyAudit

deployed = settings()
program = {"program": deployed.program}

with DAG("provoice_weekly", doc_md=__doc__, **deployed.dag("weekly", WEEKLY)):
    # None waits for another: what one of them finds must not keep the next from looking.
    CollectGarbage(task_id="gc", **program)
    VerifyAudit(task_id="audit_verify", **program)
    Scan(task_id="audit_scan", **program)
    Report(task_id="report", **program)
