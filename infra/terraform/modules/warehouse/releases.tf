# A release is for one use and for those who asked for it, until its grants end. The rows know their end.

locals {
  releases = { for name, release in var.releases : name => merge(release, { table_id = "release_${replace(replace(name, "-", "_"), ".", "_")}_${release.version}" }) }
}

resource "google_bigquery_table" "release" {
  for_each = local.releases

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.value.table_id
  description         = "Release ${each.key}, version ${each.value.version}: what was chosen, and on which permission."
  labels              = var.labels
  deletion_protection = false
  schema              = templatefile("${path.module}/schemas/release.json.tftpl", local.tags)

  external_data_configuration {
    autodetect    = false
    connection_id = google_bigquery_connection.lake.name
    source_format = "PARQUET"
    source_uris   = [for part in each.value.index : "${var.lake_uri}/${part}"]

    parquet_options {
      enable_list_inference = true
    }
  }

  depends_on = [google_storage_bucket_iam_member.connection]
}

resource "google_bigquery_row_access_policy" "allowed" {
  for_each = local.releases

  project          = var.project_id
  dataset_id       = google_bigquery_dataset.this.dataset_id
  table_id         = google_bigquery_table.release[each.key].table_id
  policy_id        = "allowed_now"
  filter_predicate = "allowed_until > CURRENT_TIMESTAMP()"
  grantees         = each.value.readers
}
