output "uris" {
  description = "What `provoice run` takes: source, lake, ledger, and the places of keys."
  value       = module.storage.uris
}

output "image" {
  description = "The image that is run; push it under this name."
  value       = local.image
}

output "build_command" {
  description = "What builds the image and pushes it, from the root of the checkout."
  value = join(" ", [
    "gcloud builds submit --project ${var.project_id} --region ${var.region} --config infra/cloudbuild.yaml",
    "--service-account projects/${var.project_id}/serviceAccounts/${module.identity.emails["builder"]}",
    "--gcs-source-staging-dir gs://${module.storage.buckets["temp"]}/dataflow/source",
    "--substitutions _IMAGE=${local.image},_SUPPRESSION_KEY_URI=${module.storage.uris.suppression_key}",
  ])
}

output "key_command" {
  description = "What makes the key of the suppression list, once and for all."
  value       = "python3 -c \"import secrets; print(secrets.token_hex(32))\" | gcloud storage cp --if-generation-match=0 - ${module.storage.uris.suppression_key}"
}

output "launch_command" {
  description = "What starts a run on Dataflow, but for --parameters; null without Dataflow."
  value       = one([for dataflow in module.dataflow : "gcloud dataflow flex-template run provoice --project ${var.project_id} --region ${var.region} --template-file-gcs-location ${dataflow.template}"])
}

output "dataflow_options" {
  description = "Beam's options for `provoice run --engine beam`; empty without Dataflow."
  value       = flatten(module.dataflow[*].options)
}

output "cluster" {
  description = "What points kubectl at the Ray cluster, and the accounts behind its service accounts; null without Ray."
  value       = one([for ray in module.ray : { credentials_command = ray.credentials_command, namespace = ray.namespace, service_accounts = ray.service_accounts }])
}

output "airflow_uri" {
  description = "Airflow's pages; null without Composer."
  value       = one(module.composer[*].airflow_uri)
}

output "dataset" {
  description = "The lake in BigQuery."
  value       = module.warehouse.dataset
}

output "emails" {
  description = "Service accounts by identity."
  value       = module.identity.emails
}
