output "repository" {
  description = "Where images are pushed, such as europe-west4-docker.pkg.dev/PROJECT/provoice-images."
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}
