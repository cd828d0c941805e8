"""What must hold of everything that would be made, whatever the files look like: each check takes the planned resources
by address, and returns its complaints, one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Resources = Mapping[str, Mapping[str, Any]]
Values = Mapping[str, Any]
_OURS = ("raw", "lake", "temp", "keys", "ledger")
_BASIC_ROLES = {"roles/owner", "roles/editor", "roles/viewer"}
_BROAD = re.compile(r"roles/(iam\.|resourcemanager\.|storage\.|.*[aA]dmin$)")
_CHANGES = ("delete", "update", "setIamPolicy", "*")
# Google's own roles in which storage rights for the whole project are wrapped up; the deny policy answers for them.
_WRAPPED = {"roles/composer.worker", "roles/dataflow.worker"}


def of_kind(resources: Resources, *kinds: str) -> Iterator[tuple[str, Values]]:
    """(address, values) of each resource of these kinds."""
    return ((address, one["values"]) for address, one in resources.items() if one["type"] in kinds)


def public(resources: Resources) -> list[str]:
    """Members that are everybody, buckets that could be made public, addresses on the internet."""
    complaints = [
        f"{address}: {word} is everybody"
        for address, one in resources.items()
        for word in ("allUsers", "allAuthenticatedUsers")
        if word in str(one["values"])
    ]
    for address, bucket in of_kind(resources, "google_storage_bucket"):
        if bucket["public_access_prevention"] != "enforced" or bucket["uniform_bucket_level_access"] is not True:
            complaints.append(f"{address}: could be made public")
    for address, cluster in of_kind(resources, "google_container_cluster"):
        private = cluster["private_cluster_config"][0]
        if not (private["enable_private_nodes"] and private["enable_private_endpoint"]):
            complaints.append(f"{address}: has public addresses")
    for address, pool in of_kind(resources, "google_container_node_pool"):
        if not pool["network_config"][0]["enable_private_nodes"]:
            complaints.append(f"{address}: has public addresses")
    return complaints


def broad_roles(resources: Resources) -> list[str]:
    """Roles of the whole project that are owner's, editor's, an administrator's, or the storage's."""
    return [
        f"{address}: {grant['role']} for the whole project"
        for address, grant in of_kind(resources, "google_project_iam_member", "google_project_iam_binding")
        if grant["role"] in _BASIC_ROLES or _BROAD.fullmatch(grant["role"])
    ]


def who_deletes(resources: Resources) -> list[str]:
    """Anything but: one custom role deletes, one identity has it, on raw recordings and the lake alone."""
    deleting = {
        f"projects/{role['project']}/roles/{role['role_id']}"
        for _, role in of_kind(resources, "google_project_iam_custom_role")
        if any(p.startswith("storage.objects.") and p.endswith(_CHANGES) for p in role["permissions"])
    }
    complaints = [] if len(deleting) == 1 else [f"{len(deleting)} custom roles delete: {', '.join(sorted(deleting))}"]
    holders: dict[str, set[str]] = {}
    for address, grant in of_kind(resources, "google_storage_bucket_iam_member", "google_storage_bucket_iam_binding"):
        role = grant["role"]
        if role in deleting:
            holders.setdefault(_bucket(grant["bucket"]), set()).add(grant["member"])
        elif role not in {"roles/storage.objectViewer", "roles/storage.bucketViewer"} | _creating(resources):
            complaints.append(f"{address}: {role} is neither reading nor creating")
    for bucket, members in sorted(holders.items()):
        names = {member.split("@")[0] for member in members}
        if bucket not in ("raw", "lake") or names != {"serviceAccount:provoice-erasure"}:
            complaints.append(f"{', '.join(sorted(members))} may delete from {bucket}")
    return complaints + [f"nobody erases from {bucket}" for bucket in ("raw", "lake") if bucket not in holders]


def guarded(resources: Resources) -> list[str]:
    """Where a role that Google wraps storage rights into is given, a deny policy must take deleting back."""
    wrapped = {g["role"] for _, g in of_kind(resources, "google_project_iam_member")} & _WRAPPED
    if not wrapped:
        return []
    rules = [rule["deny_rule"][0] for _, policy in of_kind(resources, "google_iam_deny_policy")
             for rule in policy["rules"]]  # fmt: skip
    tags = {tag["id"]: tag["short_name"] for _, tag in of_kind(resources, "google_tags_tag_value")}
    tagged = {_bucket(b["parent"].rpartition("/")[2]): tags.get(b["tag_value"])
              for _, b in of_kind(resources, "google_tags_location_tag_binding")}  # fmt: skip
    complaints = []
    for bucket, tag in (("raw", "erasure"), ("lake", "erasure"), ("ledger", "nobody")):
        rule = next((r for r in rules if f"'{tag}'" in r["denial_condition"][0]["expression"]), None)
        if tagged.get(bucket) != tag or rule is None or rule["denied_principals"] != ["principalSet://goog/public:all"]:
            complaints.append(f"{bucket}: nothing denies deleting to {', '.join(sorted(wrapped))}")
        elif len(rule["exception_principals"] or []) != (1 if tag == "erasure" else 0):
            complaints.append(f"{bucket}: {rule['exception_principals']} are excepted")
    return complaints


def kept_versions(resources: Resources) -> list[str]:
    """Buckets that keep what was deleted, or delete by themselves; a ledger that does not keep."""
    complaints = []
    for address, bucket in of_kind(resources, "google_storage_bucket"):
        name = _bucket(bucket["name"])
        versioned = bool(bucket["versioning"]) and bucket["versioning"][0]["enabled"]
        retained = bool(bucket["retention_policy"]) and bucket["retention_policy"][0]["retention_period"] > 0
        rules = bucket["lifecycle_rule"] or []
        if name == "ledger":
            complaints += [] if versioned and retained else [f"{address}: the ledger keeps too little"]
        else:
            soft = bucket["soft_delete_policy"]
            if versioned or retained or bucket["enable_object_retention"] or bucket["default_event_based_hold"]:
                complaints.append(f"{address}: keeps what was deleted")
            if not soft or soft[0]["retention_duration_seconds"] != 0:
                complaints.append(f"{address}: soft delete keeps what was deleted")
        if not any(rule["action"][0]["type"] == "AbortIncompleteMultipartUpload" for rule in rules):
            complaints.append(f"{address}: unfinished uploads stay for ever")
        if name != "temp" and any(rule["action"][0]["type"] != "AbortIncompleteMultipartUpload" for rule in rules):
            complaints.append(f"{address}: a lifecycle rule removes or moves objects")
        if bucket["force_destroy"]:
            complaints.append(f"{address}: `terraform destroy` takes the objects along")
    return complaints


def ledger_writers(resources: Resources) -> list[str]:
    """Whoever may do anything to the ledger but create and read."""
    allowed = {"roles/storage.objectViewer", "roles/storage.bucketViewer"} | _creating(resources)
    return [
        f"{address}: {grant['member']} has {grant['role']} on the ledger"
        for address, grant in of_kind(resources, "google_storage_bucket_iam_member")
        if _bucket(grant["bucket"]) == "ledger" and grant["role"] not in allowed
    ]


def unencrypted(resources: Resources) -> list[str]:
    """What rests under a key that is not ours, and keys that do not rotate within a year."""
    keyed = {
        "google_storage_bucket": lambda v: v["encryption"][0]["default_kms_key_name"] if v["encryption"] else None,
        "google_artifact_registry_repository": lambda v: v["kms_key_name"],
        "google_container_cluster": lambda v: v["database_encryption"] and v["database_encryption"][0]["key_name"],
        "google_container_node_pool": lambda v: v["node_config"][0]["boot_disk_kms_key"],
        "google_composer_environment": lambda v: (
            v["config"][0]["encryption_config"] and v["config"][0]["encryption_config"][0]["kms_key_name"]
        ),
        "google_bigquery_dataset": lambda v: (
            v["default_encryption_configuration"] and v["default_encryption_configuration"][0]["kms_key_name"]
        ),
        "google_logging_project_bucket_config": lambda v: v["cmek_settings"] and v["cmek_settings"][0]["kms_key_name"],
    }
    complaints = [
        f"{address}: under no key of ours"
        for kind, key in keyed.items()
        for address, values in of_kind(resources, kind)
        if not key(values)
    ]
    for address, key in of_kind(resources, "google_kms_crypto_key"):
        if not key["rotation_period"] or int(key["rotation_period"].rstrip("s")) > 365 * 86_400:
            complaints.append(f"{address}: does not rotate within a year")
    used = [b["encryption"][0]["default_kms_key_name"] for _, b in of_kind(resources, "google_storage_bucket")
            if b["encryption"]]  # fmt: skip
    return complaints + (["two buckets share a key"] if len(set(used)) != len(used) else [])


def idle_machines(resources: Resources) -> list[str]:
    """Pools that do not shrink to nothing, or that compute on machines at full price."""
    complaints = []
    for address, pool in of_kind(resources, "google_container_node_pool"):
        least = pool["autoscaling"][0]["total_min_node_count"]
        if pool["name"] != "system" and least != 0:
            complaints.append(f"{address}: {least} machines while nothing runs")
        if pool["name"] in ("cpu", "gpu") and not pool["node_config"][0]["spot"]:
            complaints.append(f"{address}: is not spot")
        if pool["name"] != "system" and not pool["node_config"][0]["taint"]:
            complaints.append(f"{address}: anything may land there and keep it up")
    return complaints


def open_rows(resources: Resources) -> list[str]:
    """Tables of releases that anybody may read whole, and tables with columns that lead to a person, untagged."""
    ruled = {(p["dataset_id"], p["table_id"]) for _, p in of_kind(resources, "google_bigquery_row_access_policy")}
    complaints = []
    for address, table in of_kind(resources, "google_bigquery_table"):
        if table["table_id"].startswith("release_") and (table["dataset_id"], table["table_id"]) not in ruled:
            complaints.append(f"{address}: every row may be read by everybody")
        if "subject_id" in table["schema"] and '"policyTags"' not in table["schema"]:
            complaints.append(f"{address}: columns that lead to a person are open")
    return complaints


CHECKS = (
    public, broad_roles, who_deletes, guarded, kept_versions, ledger_writers, unencrypted, idle_machines, open_rows,
)  # fmt: skip


def _creating(resources: Resources) -> set[str]:
    """Custom roles that change nothing that is there."""
    return {
        f"projects/{role['project']}/roles/{role['role_id']}"
        for _, role in of_kind(resources, "google_project_iam_custom_role")
        if not any(permission.endswith(_CHANGES) for permission in role["permissions"])
    }


def _bucket(name: str) -> str:
    """Which of ours a bucket's name says."""
    return name.rpartition("-")[2] if name.rpartition("-")[2] in _OURS else name
