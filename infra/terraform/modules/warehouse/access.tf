# Who sees which columns. Whoever may not see a column may still ask for the others.

resource "google_data_catalog_taxonomy" "this" {
  project                = var.project_id
  region                 = var.region
  display_name           = "${var.prefix} personal data"
  description            = "Columns that lead to a person."
  activated_policy_types = ["FINE_GRAINED_ACCESS_CONTROL"]
}

resource "google_data_catalog_policy_tag" "personal" {
  taxonomy     = google_data_catalog_taxonomy.this.id
  display_name = "personal"
  description  = "Pseudonyms, grants, and the place and digest of the recording: whoever has these can find the person."
}

resource "google_data_catalog_policy_tag" "transcript" {
  taxonomy     = google_data_catalog_taxonomy.this.id
  display_name = "transcript"
  description  = "What was said."
}

resource "google_data_catalog_policy_tag_iam_member" "personal" {
  for_each = var.stewards

  policy_tag = google_data_catalog_policy_tag.personal.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = each.value
}

resource "google_data_catalog_policy_tag_iam_member" "transcript" {
  for_each = setunion(var.stewards, var.transcript_readers)

  policy_tag = google_data_catalog_policy_tag.transcript.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = each.value
}

resource "google_bigquery_dataset_iam_member" "reader" {
  for_each = setunion(var.stewards, var.analysts)

  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}
