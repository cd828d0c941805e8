# Who there is. What each may do with objects stands in the module storage, bucket by bucket.

locals {
  identities = {
    planner   = "plans, starts runs, takes snapshots, makes releases"
    worker    = "prepares units: reads raw recordings, creates in the lake"
    erasure   = "erases and sweeps: the only one that may delete"
    auditor   = "scans every byte, and changes none"
    trainer   = "reads releases"
    scheduler = "runs the DAGs in Composer"
    nodes     = "nodes of the Ray cluster; what runs on them has identities of its own"
    builder   = "builds the image"
  }

  # Google's own roles for Dataflow and Composer carry rights to objects of the whole project. The deny policy below
  # takes back what matters of them.
  project_roles = {
    planner   = ["roles/dataflow.developer", "roles/logging.logWriter", "roles/monitoring.metricWriter"]
    worker    = ["roles/dataflow.worker", "roles/logging.logWriter", "roles/monitoring.metricWriter"]
    erasure   = ["roles/logging.logWriter", "roles/monitoring.metricWriter"]
    auditor   = ["roles/logging.logWriter", "roles/monitoring.metricWriter"]
    trainer   = []
    scheduler = ["roles/composer.worker", "roles/dataflow.developer", "roles/container.developer"]
    nodes     = ["roles/container.defaultNodeServiceAccount"]
    builder   = ["roles/logging.logWriter"]
  }

  project_grants = merge([
    for identity, roles in local.project_roles : { for role in roles : "${identity}/${role}" => { identity = identity, role = role } }
  ]...)
}

resource "google_service_account" "this" {
  for_each = local.identities

  project      = var.project_id
  account_id   = "${var.prefix}-${each.key}"
  display_name = "provoice ${each.key}"
  description  = each.value
}

resource "google_project_iam_member" "this" {
  for_each = local.project_grants

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.this[each.value.identity].member
}

# Every object is created and none is overwritten, and a create needs no right to delete: whoever has this can add, and
# can neither change nor remove.
resource "google_project_iam_custom_role" "creator" {
  project     = var.project_id
  role_id     = "${replace(var.prefix, "-", "_")}_object_creator"
  title       = "provoice: create and read objects"
  description = "Create, read and list objects, without overwriting or deleting any."
  permissions = ["storage.objects.create", "storage.objects.get", "storage.objects.list"]
}

# Reading the bucket's settings too: an erasure says what the store itself keeps of what was deleted.
resource "google_project_iam_custom_role" "eraser" {
  project     = var.project_id
  role_id     = "${replace(var.prefix, "-", "_")}_eraser"
  title       = "provoice: erase objects"
  description = "Create, read, list and delete objects and their versions, and read how the bucket is set up."
  permissions = [
    "storage.buckets.get",
    "storage.multipartUploads.abort",
    "storage.multipartUploads.list",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
  ]
}
