# Raw recordings, the lake, what engines put down meanwhile, keys: of what is deleted here nothing is kept, because a kept
# version is an erasure not done. The ledger is the other way round: what was said stays said.

locals {
  forgetting = {
    raw  = { storage_class = var.raw_storage_class }
    lake = { storage_class = "STANDARD" }
    temp = { storage_class = "STANDARD" }
    keys = { storage_class = "STANDARD" }
  }
}

resource "google_storage_bucket" "forgetting" {
  for_each = local.forgetting

  project                     = var.project_id
  name                        = "${var.project_id}-${var.prefix}-${each.key}"
  location                    = var.region
  storage_class               = each.value.storage_class
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = merge(var.labels, { holds = each.key })

  encryption {
    default_kms_key_name = var.kms_keys[each.key]
  }

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # What a killed worker had begun to upload.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = var.abort_uploads_days
    }
  }

  # Only in temp, which holds nothing that anybody reads again.
  dynamic "lifecycle_rule" {
    for_each = each.key == "temp" ? [var.temp_days] : []

    content {
      action {
        type = "Delete"
      }

      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["dataflow/"]
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket" "ledger" {
  project                     = var.project_id
  name                        = "${var.project_id}-${var.prefix}-ledger"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = merge(var.labels, { holds = "ledger" })

  encryption {
    default_kms_key_name = var.kms_keys["ledger"]
  }

  versioning {
    enabled = true
  }

  retention_policy {
    retention_period = var.ledger_retention_days * 86400
    is_locked        = var.ledger_retention_locked
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = var.abort_uploads_days
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

locals {
  buckets = merge({ for name, bucket in google_storage_bucket.forgetting : name => bucket.name }, { ledger = google_storage_bucket.ledger.name })

  # Who may delete from which bucket, whatever role they have; see the module identity.
  guarded = length(var.delete_tags) == 0 ? {} : { raw = "erasure", lake = "erasure", ledger = "nobody" }
}

resource "google_tags_location_tag_binding" "deletes" {
  for_each = local.guarded

  parent    = "//storage.googleapis.com/projects/_/buckets/${local.buckets[each.key]}"
  tag_value = var.delete_tags[each.value]
  location  = var.region
}
