# The lake in BigQuery, where it lies: tables over the manifests of a snapshot, and over the index of each release.
# Nothing is copied, and nothing cached: what an erasure took out of the lake is out of here as well.

resource "google_bigquery_dataset" "this" {
  project                    = var.project_id
  dataset_id                 = replace(var.prefix, "-", "_")
  location                   = var.region
  description                = "What provoice's lake holds: read from the lake, kept nowhere else."
  labels                     = var.labels
  delete_contents_on_destroy = true

  default_encryption_configuration {
    kms_key_name = var.kms_key
  }
}

resource "google_bigquery_connection" "lake" {
  project       = var.project_id
  connection_id = "${var.prefix}-lake"
  location      = var.region
  description   = "Reads the lake for whoever may read a table, and may do nothing else."

  cloud_resource {}
}

resource "google_storage_bucket_iam_member" "connection" {
  bucket = var.lake_bucket
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${google_bigquery_connection.lake.cloud_resource[0].service_account_id}"
}

locals {
  tags = {
    personal   = google_data_catalog_policy_tag.personal.name
    transcript = google_data_catalog_policy_tag.transcript.name
  }

  # One manifest lists the files of the current rows; a new snapshot is a new number here.
  tables = var.snapshot == null ? {} : {
    utterances = "One row per utterance that counts, with measurements, consent and lineage."
    recordings = "One row per source that counts, whatever became of it."
  }
}

resource "google_bigquery_table" "current" {
  for_each = local.tables

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  description         = each.value
  labels              = var.labels
  deletion_protection = false
  schema              = templatefile("${path.module}/schemas/${each.key}.json.tftpl", local.tags)

  external_data_configuration {
    autodetect         = false
    connection_id      = google_bigquery_connection.lake.name
    source_format      = "PARQUET"
    file_set_spec_type = "FILE_SET_SPEC_TYPE_NEW_LINE_DELIMITED_MANIFEST"
    source_uris        = [format("%s/snapshots/%08d/%s.manifest", var.lake_uri, var.snapshot, each.key)]

    parquet_options {
      enable_list_inference = true
    }
  }

  depends_on = [google_storage_bucket_iam_member.connection]
}
