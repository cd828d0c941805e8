# Whatever role somebody is given later, owner included: from buckets with these tags nobody else deletes.

locals {
  guarded = {
    erasure = "only the erasure identity deletes"
    nobody  = "nobody deletes"
  }
}

resource "google_tags_tag_key" "deletes" {
  count = var.guard_deletes ? 1 : 0

  parent      = "projects/${data.google_project.this.number}"
  short_name  = "${var.prefix}-deletes"
  description = "Who may delete objects of a bucket."
}

resource "google_tags_tag_value" "deletes" {
  for_each = var.guard_deletes ? local.guarded : {}

  parent      = google_tags_tag_key.deletes[0].id
  short_name  = each.key
  description = each.value
}

resource "google_iam_deny_policy" "deletes" {
  count = var.guard_deletes ? 1 : 0

  parent       = urlencode("cloudresourcemanager.googleapis.com/projects/${var.project_id}")
  name         = "${var.prefix}-deletes"
  display_name = "provoice: who may delete"

  rules {
    description = "Only the erasure identity deletes raw recordings and objects of the lake."

    deny_rule {
      denied_principals    = ["principalSet://goog/public:all"]
      exception_principals = ["principal://iam.googleapis.com/projects/-/serviceAccounts/${google_service_account.this["erasure"].email}"]
      denied_permissions   = ["storage.googleapis.com/objects.delete"]

      denial_condition {
        title      = "buckets that only the erasure identity deletes from"
        expression = "resource.matchTag('${var.project_id}/${google_tags_tag_key.deletes[0].short_name}', 'erasure')"
      }
    }
  }

  rules {
    description = "Nobody deletes from the ledger."

    deny_rule {
      denied_principals  = ["principalSet://goog/public:all"]
      denied_permissions = ["storage.googleapis.com/objects.delete"]

      denial_condition {
        title      = "buckets that nobody deletes from"
        expression = "resource.matchTag('${var.project_id}/${google_tags_tag_key.deletes[0].short_name}', 'nobody')"
      }
    }
  }
}
