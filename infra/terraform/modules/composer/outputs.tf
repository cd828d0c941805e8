output "airflow_uri" {
  description = "Airflow's pages."
  value       = google_composer_environment.this.config[0].airflow_uri
}

output "dags" {
  description = "Where the DAGs lie."
  value       = local.dags
}
