output "dataset" {
  description = "The dataset, as queries name it."
  value       = "${var.project_id}.${google_bigquery_dataset.this.dataset_id}"
}

output "connection" {
  description = "Google's account that reads the lake for BigQuery."
  value       = google_bigquery_connection.lake.cloud_resource[0].service_account_id
}

output "tables" {
  description = "Tables that are there, by what they show."
  value = merge(
    { for name, table in google_bigquery_table.current : name => table.table_id },
    { for name, table in google_bigquery_table.release : "release ${name}" => table.table_id },
  )
}
