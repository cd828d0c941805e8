output "dashboard" {
  description = "The dashboard, by its full name."
  value       = google_monitoring_dashboard.this.id
}

output "log_buckets" {
  description = "Log buckets: audit and runs."
  value       = { for name, bucket in google_logging_project_bucket_config.this : name => bucket.id }
}

output "alerts" {
  description = "Names of the alerts that are there."
  value       = sort(concat(keys(google_monitoring_alert_policy.log), keys(google_monitoring_alert_policy.threshold)))
}
