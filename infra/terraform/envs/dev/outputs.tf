output "uris" {
  description = "What `provoice run` takes: source, lake, ledger, and the places of keys."
  value       = module.platform.uris
}

output "image" {
  description = "The image that is run; push it under this name."
  value       = module.platform.image
}

output "build_command" {
  description = "What builds the image and pushes it, from the root of the checkout."
  value       = module.platform.build_command
}

output "key_command" {
  description = "What makes the key of the suppression list, once and for all."
  value       = module.platform.key_command
}

output "launch_command" {
  description = "What starts a run on Dataflow, but for --parameters; null without Dataflow."
  value       = module.platform.launch_command
}

output "dataflow_options" {
  description = "Beam's options for `provoice run --engine beam`; empty without Dataflow."
  value       = module.platform.dataflow_options
}

output "cluster" {
  description = "What points kubectl at the Ray cluster, and the accounts behind its service accounts; null without Ray."
  value       = module.platform.cluster
}

output "airflow_uri" {
  description = "Airflow's pages; null without Composer."
  value       = module.platform.airflow_uri
}

output "dataset" {
  description = "The lake in BigQuery."
  value       = module.platform.dataset
}

output "emails" {
  description = "Service accounts by identity."
  value       = module.platform.emails
}
