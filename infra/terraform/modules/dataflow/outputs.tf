output "template" {
  description = "URI of the template, as `gcloud dataflow flex-template run --template-file-gcs-location` takes it."
  value       = "gs://${google_storage_bucket_object.template.bucket}/${google_storage_bucket_object.template.name}"
}

output "options" {
  description = "Beam's options for a job that `provoice run --engine beam` starts itself."
  value = [
    "--runner=DataflowRunner",
    "--project=${var.project_id}",
    "--region=${var.region}",
    "--temp_location=${local.template.defaultEnvironment.tempLocation}",
    "--staging_location=${local.template.defaultEnvironment.stagingLocation}",
    "--sdk_container_image=${var.image}",
    "--sdk_location=container",
    "--service_account_email=${var.emails["worker"]}",
    "--subnetwork=${var.subnetwork}",
    "--no_use_public_ips",
    "--dataflow_kms_key=${var.kms_key}",
    "--machine_type=${var.machine_type}",
    "--max_num_workers=${var.max_workers}",
    "--number_of_worker_harness_threads=2",
  ]
}
