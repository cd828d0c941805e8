output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "credentials_command" {
  description = "What points kubectl at the cluster."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --location ${var.zone} --project ${var.project_id} --dns-endpoint"
}

output "namespace" {
  description = "Namespace whose service accounts bear the identities."
  value       = var.namespace
}

output "service_accounts" {
  description = "Google's account behind each Kubernetes service account of the namespace, for infra/kuberay."
  value       = { for name in keys(google_service_account_iam_member.workload) : name => var.emails[name] }
}
