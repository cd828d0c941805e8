# Two log buckets: who touched what, kept long; what runs said, kept no longer than an erasure can wait.

resource "google_logging_project_bucket_config" "this" {
  for_each = {
    audit = { days = var.audit_days, description = "Who read, created and deleted objects, and who changed rights." }
    runs  = { days = var.run_log_days, description = "What runs said. It names no person, but may name sources." }
  }

  project          = var.project_id
  location         = var.region
  bucket_id        = "${var.prefix}-${each.key}"
  description      = each.value.description
  retention_days   = each.value.days
  enable_analytics = true

  cmek_settings {
    kms_key_name = var.kms_key
  }
}

locals {
  of_our_buckets = "protoPayload.resourceName:(${join(" OR ", [for name in values(var.buckets) : "\"projects/_/buckets/${name}\""])})"

  sinks = {
    audit = "logName:\"cloudaudit.googleapis.com\" AND (${local.of_our_buckets} OR protoPayload.methodName:\"SetIamPolicy\" OR protoPayload.serviceName=\"cloudkms.googleapis.com\")"
    runs  = "(resource.type=\"k8s_container\" AND resource.labels.namespace_name=\"${var.namespace}\") OR resource.type=\"dataflow_step\""
  }
}

resource "google_logging_project_sink" "this" {
  for_each = local.sinks

  project                = var.project_id
  name                   = "${var.prefix}-${each.key}"
  description            = google_logging_project_bucket_config.this[each.key].description
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.this[each.key].id}"
  filter                 = each.value
  unique_writer_identity = true
}

# Without these, nobody could say afterwards who deleted an object.
resource "google_project_iam_audit_config" "storage" {
  project = var.project_id
  service = "storage.googleapis.com"

  dynamic "audit_log_config" {
    for_each = var.audit_reads ? ["DATA_WRITE", "ADMIN_READ", "DATA_READ"] : ["DATA_WRITE", "ADMIN_READ"]

    content {
      log_type = audit_log_config.value
    }
  }
}
