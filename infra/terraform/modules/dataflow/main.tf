# The flex template's file: which image, and what a launch may say. It is what `gcloud dataflow flex-template build` would
# write, from the same metadata, so that nothing has to be built by hand.

locals {
  template = {
    image    = var.image
    sdkInfo  = { language = "PYTHON" }
    metadata = jsondecode(file(var.metadata_path))
    defaultEnvironment = {
      ipConfiguration           = "WORKER_IP_PRIVATE"
      kmsKeyName                = var.kms_key
      machineType               = var.machine_type
      maxWorkers                = var.max_workers
      network                   = basename(var.network)
      sdkContainerImage         = var.image
      serviceAccountEmail       = var.emails["worker"]
      stagingLocation           = "gs://${var.temp_bucket}/dataflow/staging"
      subnetwork                = var.subnetwork
      tempLocation              = "gs://${var.temp_bucket}/dataflow/temp"
      additionalUserLabels      = var.labels
      additionalExperiments     = ["use_runner_v2"]
      enableStreamingEngine     = false
      launcherMachineType       = var.launcher_machine_type
      diskSizeGb                = var.disk_size_gb
      numWorkers                = 1
      autoscalingAlgorithm      = "AUTOSCALING_ALGORITHM_BASIC"
      additionalPipelineOptions = ["sdk_location=container", "number_of_worker_harness_threads=2"]
    }
  }
}

resource "google_storage_bucket_object" "template" {
  bucket       = var.temp_bucket
  name         = "templates/${var.prefix}-${substr(sha256(jsonencode(local.template)), 0, 12)}.json"
  content      = jsonencode(local.template)
  content_type = "application/json"
}

# Whoever launches hands the job to the worker's account.
resource "google_service_account_iam_member" "launches" {
  for_each = toset(["planner", "scheduler", "worker"])

  service_account_id = "projects/${var.project_id}/serviceAccounts/${var.emails["worker"]}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.emails[each.key]}"
}
