# Bucket by bucket: who reads, who adds, and the one who deletes.

locals {
  roles = {
    reads   = "roles/storage.objectViewer"
    creates = var.creator_role
    deletes = var.eraser_role
  }

  access = {
    raw = {
      reads   = ["planner", "worker", "auditor"]
      creates = []
      deletes = ["erasure"]
    }
    lake = {
      reads   = ["trainer", "auditor"]
      creates = ["planner", "worker"]
      deletes = ["erasure"]
    }
    # Create-only to everyone, and that is enough: an event, a certificate, a suppression file is created once. Dataflow's
    # launcher plans under the worker's account.
    ledger = {
      reads   = []
      creates = ["planner", "worker", "erasure", "auditor", "trainer"]
      deletes = []
    }
    temp = {
      reads   = []
      creates = ["planner", "worker", "scheduler", "builder"]
      deletes = []
    }
    keys = {
      reads   = []
      creates = []
      deletes = []
    }
  }

  grants = merge(flatten([
    for bucket, kinds in local.access : [
      for kind, identities in kinds : {
        for identity in identities : "${bucket}/${identity}" => {
          bucket = bucket
          role   = local.roles[kind]
          member = "serviceAccount:${var.emails[identity]}"
        }
      }
    ]
  ])...)

  # Whose key each file is.
  key_files = {
    "suppression.key"  = ["planner", "worker", "erasure"]
    "certificates.pem" = ["erasure"]
    "audit.key"        = ["auditor"]
  }

  key_readers = merge([
    for file, identities in local.key_files : {
      for identity in identities : "${file}/${identity}" => { file = file, identity = identity }
    }
  ]...)

  # People, who come as groups.
  people = merge(
    { for member in var.stewards : "ledger/${member}" => { bucket = "ledger", role = var.creator_role, member = member } },
    { for member in var.stewards : "lake/${member}" => { bucket = "lake", role = local.roles["reads"], member = member } },
    { for member in var.contributors : "raw/${member}" => { bucket = "raw", role = var.creator_role, member = member } },
  )
}

resource "google_storage_bucket_iam_member" "identity" {
  for_each = local.grants

  bucket = local.buckets[each.value.bucket]
  role   = each.value.role
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "people" {
  for_each = local.people

  bucket = local.buckets[each.value.bucket]
  role   = each.value.role
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "key" {
  for_each = local.key_readers

  bucket = local.buckets["keys"]
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${var.emails[each.value.identity]}"

  condition {
    title      = each.value.file
    expression = "resource.name == \"projects/_/buckets/${local.buckets["keys"]}/objects/${each.value.file}\""
  }
}

# An erasure says what the ledger's bucket keeps by itself; it must be able to read that.
resource "google_storage_bucket_iam_member" "erasure_reads_settings" {
  bucket = local.buckets["ledger"]
  role   = "roles/storage.bucketViewer"
  member = "serviceAccount:${var.emails["erasure"]}"
}
