# One key for each kind of thing, so that one can be taken away alone. Destroying a key destroys what it encrypts.

locals {
  # Google's own accounts that encrypt and decrypt, by the key they need.
  agents = {
    raw      = [data.google_storage_project_service_account.this.member]
    lake     = [data.google_storage_project_service_account.this.member]
    ledger   = [data.google_storage_project_service_account.this.member]
    temp     = [data.google_storage_project_service_account.this.member, local.agent["compute-system"], local.agent["dataflow-service-producer-prod"]]
    keys     = [data.google_storage_project_service_account.this.member]
    registry = [local.agent["gcp-sa-artifactregistry"]]
    cluster  = [local.agent["container-engine-robot"], local.agent["compute-system"]]
    composer = [
      data.google_storage_project_service_account.this.member,
      local.agent["cloudcomposer-accounts"],
      local.agent["compute-system"],
      local.agent["container-engine-robot"],
      local.agent["gcp-sa-artifactregistry"],
      local.agent["gcp-sa-pubsub"],
    ]
    warehouse = [data.google_bigquery_default_service_account.this.member]
    logs      = [local.agent["gcp-sa-logging"]]
  }

  agent = {
    for domain in [
      "cloudcomposer-accounts", "compute-system", "container-engine-robot", "dataflow-service-producer-prod",
      "gcp-sa-artifactregistry", "gcp-sa-logging", "gcp-sa-pubsub",
    ] : domain => "serviceAccount:service-${data.google_project.this.number}@${domain}.iam.gserviceaccount.com"
  }

  key_users = merge([
    for name, members in local.agents : { for index, member in members : "${name}/${index}" => { key = name, member = member } }
    if contains(var.keys, name)
  ]...)
}

data "google_project" "this" {
  project_id = var.project_id
}

data "google_storage_project_service_account" "this" {
  project = var.project_id
}

data "google_bigquery_default_service_account" "this" {
  project = var.project_id
}

resource "google_kms_key_ring" "this" {
  project  = var.project_id
  name     = var.prefix
  location = var.region
}

resource "google_kms_crypto_key" "this" {
  for_each = var.keys

  name            = each.key
  key_ring        = google_kms_key_ring.this.id
  rotation_period = "${var.key_rotation_days * 86400}s"
  labels          = var.labels

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.key_users

  crypto_key_id = google_kms_crypto_key.this[each.value.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value.member
}
